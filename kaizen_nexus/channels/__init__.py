"""The channels: each decodes its requests into an `Invocation` and encodes the `Result`."""
