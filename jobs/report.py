from _verb import run

run("report")
