"""Check of a person's own norm layer against the formulas, and the name of its mistake."""
