"""Training images: their sources and their cache."""
