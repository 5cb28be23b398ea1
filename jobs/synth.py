from _verb import run

run("synth")
