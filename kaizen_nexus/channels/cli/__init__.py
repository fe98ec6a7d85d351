"""The command line channel: parses arguments, renders help and output, on the server."""
