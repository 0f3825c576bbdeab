"""Stored results as tables, statistics and findings; nothing here draws."""
