from _verb import run

run("plan")
