"""Measuring trained networks and packaging them."""
