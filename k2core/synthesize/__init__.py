"""Synthesize: tools, experts, simulated users and a judge make trajectories to learn from."""

from k2core.synthesize.servers import MCP_VENV_ENV, ServersMissingError
from k2core.synthesize.stage import synthesize_trajectories

__all__ = ["MCP_VENV_ENV", "ServersMissingError", "synthesize_trajectories"]
