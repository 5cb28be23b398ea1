from _verb import run

run("extract")
