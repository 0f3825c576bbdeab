"""Serving the page to strangers."""
