from _verb import run

run("predict")
