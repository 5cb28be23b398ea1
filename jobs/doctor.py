from _verb import run

run("doctor")
