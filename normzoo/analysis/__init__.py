"""Stored results as tables, and statistics."""
