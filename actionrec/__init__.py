"""Multi-stream video embeddings and action recognition, distributed on Ray."""

__version__ = "0.1.0"
