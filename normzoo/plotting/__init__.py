"""Charts: styles, plotly for the page, matplotlib for files."""
