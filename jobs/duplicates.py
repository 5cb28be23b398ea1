from _verb import run

run("duplicates")
