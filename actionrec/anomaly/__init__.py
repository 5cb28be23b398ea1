"""How unusual a video is: autoencoder, scores, and classes that nothing was trained on."""
