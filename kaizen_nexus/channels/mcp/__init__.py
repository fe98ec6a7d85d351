"""The Model Context Protocol: every workflow is a tool, over streamable HTTP and over stdio."""
