from _verb import run

run("catalog")
