from _verb import run

run("search")
