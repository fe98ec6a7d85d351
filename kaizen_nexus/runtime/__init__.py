"""Running workflows: registry, execution, sessions and metrics, whatever the channel."""
