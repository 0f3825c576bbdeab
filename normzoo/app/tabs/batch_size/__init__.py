"""The tab Batch size."""
