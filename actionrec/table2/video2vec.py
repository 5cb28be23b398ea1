"""video2vec [8] (Hu et al. 2016): recurrent encoders of frames and motion, and the nearest vector of a class."""
NAME = "video2vec"
