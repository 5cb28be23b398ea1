from _verb import run

run("run")
