"""Findings that the page and the report share: computed once from stored results, as sentences and tables."""
