"""Adapters: whatever the user calls an agent becomes a `Workflow` here."""
