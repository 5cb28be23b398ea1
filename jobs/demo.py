from _verb import run

run("demo")
