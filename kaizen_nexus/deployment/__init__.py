"""Deploying: an agent becomes a cached plan, a workflow, and a deployment of an app."""
