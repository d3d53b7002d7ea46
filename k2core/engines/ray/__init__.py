"""Ray spreads engines over processes and machines; outside they look like one engine."""

from k2core.engines.ray.ahead import engines_ahead
from k2core.engines.ray.serve import ServedEngines, serve
from k2core.engines.ray.spare import keep_engines

__all__ = ["ServedEngines", "engines_ahead", "keep_engines", "serve"]
