"""What a launch form says of each input: an argument means one thing in every stage."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Input(NamedTuple):
    """An argument of stages."""

    says: str
    maker: str = ""
    """The stage that makes it; empty: it is part of a recipe."""


INPUTS: Mapping[str, Input] = {
    "config": Input("What the stage computes."),
    "problems": Input("What is asked of agents: families, sources, what is held out."),
    "shape": Input("The model's shape."),
    "placement": Input("Where it runs; changes no result."),
    "raw": Input("Documents as they were collected.", "ingest"),
    "clean": Input("Documents worth reading.", "clean"),
    "rephrased": Input("Rewrites that passed the fidelity gate.", "rephrase"),
    "tokenizer": Input("A model whose tokenizer is taken, in place of a new one.", "adopt"),
    "tokens": Input("Text as token ids, and the tokenizer.", "tokenize"),
    "base": Input("The base model.", "pretrain"),
    "trajectories": Input("Dialogues with tools that were accepted.", "synthesize"),
    "sft": Input("The finetuned model.", "sft"),
    "policy": Input("The model that reinforcement learning made.", "rl"),
    "evaluation": Input("Scores and every graded answer.", "evaluate"),
    "lineage": Input("The record of each stage that led here."),
}


def describe_inputs(about: str, names: Iterable[str], **others: str) -> str:
    """A task's docstring with a line for each input that `INPUTS` or the others describe.

    Args:
        about: the docstring without them.
        names: of the inputs.
        others: descriptions that win over those of `INPUTS`.
    """
    says = {name: INPUTS[name].says for name in names if name in INPUTS} | others
    return "\n".join([about.rstrip(), "", "Args:", *(f"    {n}: {t}" for n, t in says.items())])
