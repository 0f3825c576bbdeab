"""Trained networks at work on images."""
