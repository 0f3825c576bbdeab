"""What is measured on networks beside their accuracy, and stored: robustness, contrast, companies, unknowns."""
