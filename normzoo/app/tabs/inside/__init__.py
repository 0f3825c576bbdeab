"""The tab Inside: activations of the networks."""
