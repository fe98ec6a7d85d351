"""`Nexus`, the app: what is deployed, how it is served, and both of them together."""

from kaizen_nexus.nexus.app import Nexus

__all__ = ["Nexus"]
