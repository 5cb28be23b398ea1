from _verb import run

run("import")
