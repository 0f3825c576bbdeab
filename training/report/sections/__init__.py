"""Sections of RESULTS.md, a module for each."""
