from _verb import run

run("train", "svm")
