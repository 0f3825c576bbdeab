"""Measurements after training: robustness, batch statistics at test time, out-of-distribution images."""
