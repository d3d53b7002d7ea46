"""The critic: rubrics, hard checks, and judgements of two answers as chat examples.

Finetuning bootstraps it, reinforcement learning asks and refreshes it.
"""

from k2core.critic.checks import CHECKS, find_breach
from k2core.critic.pairs import PreferencePair, iterate_examples, pair_up
from k2core.critic.rubric import Rubric, context_of, load_rubric
from k2core.critic.template import GRAMMAR, LETTERS, OrderedPair, Template, answer_of, told

__all__ = [
    "CHECKS",
    "GRAMMAR",
    "LETTERS",
    "OrderedPair",
    "PreferencePair",
    "Rubric",
    "Template",
    "answer_of",
    "context_of",
    "find_breach",
    "iterate_examples",
    "load_rubric",
    "pair_up",
    "told",
]
