"""One page of everything that a root holds."""
