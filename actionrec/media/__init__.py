"""Bytes of videos to frames and sound, and back. The only room that opens video files."""
