"""Images: from an untrusted file to what a network sees, and graded harm to them."""
