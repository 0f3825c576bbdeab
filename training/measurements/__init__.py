"""What is measured on networks beside their accuracy, and stored: robustness, batch statistics at test time,
out-of-distribution images.
"""
