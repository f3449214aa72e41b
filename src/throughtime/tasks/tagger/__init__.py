"""A label for every frame of a video, a sound or an array."""
