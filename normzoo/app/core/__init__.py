"""What all tabs share: networks, controls, the upload, errors."""
