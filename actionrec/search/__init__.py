"""Which catalogued videos are near a video, or near each other: by their video embeddings, exactly or by an index."""
