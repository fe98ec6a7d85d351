"""Deploying: an agent becomes a cached plan, a workflow, and an entry in an app."""
