"""The example photos, and the script that draws some of them."""
