"""Trained networks: their files and locations."""
