"""The tab Classify: every selected network's answer to an upload."""
