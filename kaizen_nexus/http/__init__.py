"""What every channel over HTTP shares: bodies, strict JSON, problems, limits, credentials."""
