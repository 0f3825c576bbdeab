"""Pieces of HTML and charts that tabs are made of."""
