"""RESULTS.md and its figures: a module for each section."""
