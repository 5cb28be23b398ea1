from _verb import run

run("baseline")
