"""What every request passes before it reaches the page: limits, refusals and security headers, in plain ASGI."""
