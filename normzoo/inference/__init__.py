"""What trained networks make of images."""
