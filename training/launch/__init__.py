"""Training many networks."""
