"""Images to train on: where they come from, and their cache."""
