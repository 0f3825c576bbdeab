"""Figures: the style of a variant, plotly figures for the page, matplotlib for files."""
