"""Where networks' weights come from: installed packages and published files, each held to its hash, or a seed."""
