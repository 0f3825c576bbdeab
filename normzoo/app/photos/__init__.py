"""The example photos."""
