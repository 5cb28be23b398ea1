"""What lies under a root, where and in which state."""
