from _verb import run

run("train", "fusion")
