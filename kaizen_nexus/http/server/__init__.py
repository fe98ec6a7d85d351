"""The HTTP/1.1 server: listening, the protocol on a connection, and stopping in order."""
