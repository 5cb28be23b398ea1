from _verb import run

run("tune")
