"""Running trained networks on images."""
