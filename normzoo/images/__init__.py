"""Images: from an untrusted file to the input of a network; corruptions."""
