"""Where networks' weights come from: published files, each held to its hash, or a seed."""
