"""The wire protocols: each decodes a request into an `Invocation` and encodes the `Result`."""
