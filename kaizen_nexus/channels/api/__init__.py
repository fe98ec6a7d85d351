"""The HTTP channel: JSON in and out, errors as RFC 9457 problem details."""
