"""From videos to features: parts, the streams of one decode, and the passes over all parts."""
