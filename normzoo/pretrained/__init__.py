"""Trained networks: their files, where they lie, which there are."""
