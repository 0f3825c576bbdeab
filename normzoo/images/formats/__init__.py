"""One module for each format: what Pillow gets to see of an untrusted file, and what is read of it besides."""
