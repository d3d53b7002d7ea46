"""Synthesize: tools, experts, simulated users and a judge make trajectories to learn from."""

from k2core.synthesize.stage import synthesize_trajectories
from k2core.tools.servers import MCP_VENV_ENV, ServersMissingError

__all__ = ["MCP_VENV_ENV", "ServersMissingError", "synthesize_trajectories"]
