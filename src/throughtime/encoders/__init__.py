"""Frames and pictures to feature vectors."""
