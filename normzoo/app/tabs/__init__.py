"""The tabs of the page, in a person's words."""
