"""Experiments as data: recipes, plans, runs and where they were made."""
