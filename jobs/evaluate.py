from _verb import run

run("evaluate")
