"""Tools: synthetic ones evolved from an ontology, each with semantics that can be executed."""

from k2core.tools.evolve import SyntheticTool, evolve_tools
from k2core.tools.ontology import Entity, read_ontology

__all__ = ["Entity", "SyntheticTool", "evolve_tools", "read_ontology"]
