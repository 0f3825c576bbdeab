"""RESULTS.md and its figures, and the overview in README.md."""
