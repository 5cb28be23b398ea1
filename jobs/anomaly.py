from _verb import run

run("anomaly")
