"""Compare a user's norm layer with the formulas, and name its mistakes."""
