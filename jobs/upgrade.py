from _verb import run

run("upgrade")
