"""Frames, flow and sound as numbers. Pure: arrays in, arrays out."""
