"""Ray spreads engines over processes and machines; outside they look like one engine."""

from k2core.engines.ray.serve import ServedEngines, serve

__all__ = ["ServedEngines", "serve"]
