"""The ``nexus`` program."""
