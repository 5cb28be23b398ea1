"""Table II: the systems that the paper compares its own with, those of them that run here, and the table."""
