"""``nexus check``: the same inputs through every channel, and whatever comes out differently."""
