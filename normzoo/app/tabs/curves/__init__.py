"""The tab Learning curves."""
