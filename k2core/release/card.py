"""The model card of a repository: what it is, what it was made of, what it can and cannot do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from k2core.model.config import load_shape
from k2core.model.counts import sum_parameters
from k2core.model.shards import Precision
from k2core.release.example import CardExample
from k2core.release.licenses import LicensedSource, sources_table
from k2core.release.metadata import Which, card_head, repository
from k2core.release.parity import Parity
from k2core.release.precision import Rounding
from k2core.release.readers import Reading
from k2core.release.score_tables import condition_table, evaluation_table, overlap_table
from schemas.evaluate import Scores
from schemas.lineage import LineageRecord
from schemas.release import ReleaseConfig

_SMALL = 100e6
"""Parameters below which a model is for study only."""
_WORDS = {
    "train_tokens": "tokens to train on, repetitions included",
    "heldout_tokens": "tokens held out",
    "vocab_size": "tokens of vocabulary",
    "tokens": "tokens read",
    "steps": "optimizer steps",
    "skipped_dialogues": "dialogues left out as too long",
    "loss": "last loss {}",
    "clipped_heads": "heads clipped by QK-Clip",
    "refused_steps": "steps refused by the guards",
    "kept_iteration": "iteration {} kept",
    "validation_start": "passed of the validation problems at the start: {}",
    "validation_last": "at the end: {}",
    "reward_first": "mean reward of the first iteration {}",
    "reward_last": "of the last {}",
    "length_last": "tokens an answer at the end",
    "over_budget_frac_last": "share of answers over budget at the end {}",
}
"""What a count is called; `{}` is where the number goes."""
_UNREADABLE = 1000.0
"""Perplexity above which a model writes no plain text."""


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from."""

    which: Which
    folder: Path
    """Of the model."""
    scores: Scores
    sources: list[LicensedSource]
    lineage: Sequence[LineageRecord]
    digest: str
    """Of the checkpoint."""
    parity: Parity
    rounding: Rounding | None
    """Of the bf16 repository; None on the card of the whole weights."""
    brought: str
    """Where the base was brought from; empty for one that was trained here."""
    readings: Sequence[Reading]
    served: int
    """Requests that its server answered as it must; 0 where none was started."""
    example: CardExample | None
    """None where nothing can be asked of a model, as of a base that never saw the chat format."""


def model_card(config: ReleaseConfig, facts: CardFacts) -> str:
    """README.md, with the Hub's metadata on top."""
    shape = load_shape(facts.folder)
    size, scores = sum_parameters(shape), facts.scores
    precision: Precision = "bf16" if facts.rounding else "fp32"
    return f"""{card_head(config, facts.which, scores, precision)}
# {repository(config, facts.which, precision)}

A sparse mixture of experts with multi-head latent attention in the shape of Kimi K2
(arXiv:2507.20534), {_origin(facts)}.
{size.total / 1e6:.2f} M parameters, {size.active / 1e6:.2f} M active a token, \
{shape.num_layers} layers ({shape.num_dense_layers} dense),
{shape.experts_per_token} of {shape.num_experts} experts and {shape.num_shared_experts} shared, \
vocabulary {shape.vocab_size}, context {shape.max_position_embeddings} tokens.

## What it can and cannot do

{_abilities(facts, size.total)}

## Use

{_use(config, facts)}

## Evaluation

{evaluation_table(scores)}

95 % intervals in brackets. Problems and texts were held out of training; answers are checked by
programs.

{condition_table(scores, facts.which)}

{overlap_table(scores.overlaps, facts.brought) if scores.overlaps else ""}

## Training

{training_table(facts.lineage)}

Weights: `{facts.digest}`. Every stage with its config, versions and digests is in `lineage.json`; \
equal inputs
give equal bytes, so neither it nor this card names a machine. Where, when, how long, by which
commit and which packages each stage was done is in `MADE.md`, which `k2 push` writes from the
recorded runs.

## Data

{sources_table(facts.sources)}

The texts keep their licences (`LICENSES.md`). What was held out, filtered and rejected is in the
release's `data/text.md` and `data/dialogues.md`.

## Who reads it

{readers_table(facts)}

Nothing in a message, result, argument or tool can forge a turn: where text spells a special token
the template puts U+FDD0 into the spelling, and the tokenizer drops that character after it has
found the special tokens (`tokenizer.json`, `normalizer`). Text put together without the template
has no such guard.
"""


def _origin(facts: CardFacts) -> str:
    """Where the weights are from, and in which state of the pipeline they are."""
    what = "made from raw text; this is the pre-trained model, before any dialogue"
    if facts.brought:
        what = f"brought from {facts.brought} and not changed"
    if facts.which == "policy":
        start = f"the weights of {facts.brought}" if facts.brought else "raw text"
        what = f"made from {start}; this is the agent after finetuning and reinforcement learning"
    if facts.rounding:
        what += ", its weights rounded to bf16"
    return what


def _abilities(facts: CardFacts, parameters: float) -> str:
    scores, which = facts.scores, facts.which
    passed = sum(rates[which].passed for rates in scores.families.values())
    asked = sum(rates[which].total for rates in scores.families.values())
    calls = scores.tool_calls[which]
    text = (
        f"It passes {passed} of {asked} held-out problems of the families below, which its\n"
        f"finetuning practised on other contents; {calls.passed} of its {calls.total} tool calls "
        f"were valid.\n{_failures(scores.failures.get(which, {}))}"
        "Nothing but what stands below was measured."
    )
    if facts.which == "base":
        text = (
            "It continues text and was never shown a dialogue: the problems below are asked in a\n"
            "format that it does not know. Nothing but these and its perplexities was measured."
        )
    if parameters < _SMALL:
        text += (
            " With so few parameters it knows no facts, does not converse and does not\n"
            "reason beyond these families: use it for study only."
        )
    worst = max((by[which].perplexity for by in scores.perplexity.values()), default=0.0)
    if worst > _UNREADABLE:
        text += f"\nIt writes no plain text: its perplexity on held-out text is up to {worst:,.0f}."
    return text


def _failures(reasons: Mapping[str, int]) -> str:
    """Why answers failed, the commonest reasons first, e.g. `malformed 77`."""
    if not reasons:
        return ""
    told = ", ".join(f"{reason.replace('_', ' ')} {n}" for reason, n in [*reasons.items()][:6])
    return f"Of its answers {sum(reasons.values())} failed: {told}.\n"


def _use(config: ReleaseConfig, facts: CardFacts) -> str:
    precision: Precision = "bf16" if facts.rounding else "fp32"
    name = f"{config.organization}/{repository(config, facts.which, precision)}"
    if facts.example is None:
        return f"""```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{name}")
tokenizer = AutoTokenizer.from_pretrained("{name}")
ids = tokenizer("The", return_tensors="pt")
print(tokenizer.decode(model.generate(**ids, max_new_tokens=32)[0]))
```"""
    return f"""{facts.example.as_code(name)}

On the machine that made this release it printed, greedily:

```
{facts.example.output}
```

{_served(facts)}"""


def _served(facts: CardFacts) -> str:
    if not facts.served:
        return "`k2 serve` serves it with calls held to their schemas; not tried with this folder."
    return (
        "`k2 serve` serves it: started on this folder, its server answered "
        f"{facts.served} requests, whole and as streams,\n"
        "with every call to a declared tool, arguments of its schema, ids counted on, right finish "
        "reasons\nand streams that say what the whole answers say."
    )


def readers_table(facts: CardFacts) -> str:
    """What was compared with the trainer's own logits and tokens, and what was not."""
    parity = facts.parity
    rows = [
        f"| {r.reader} | {r.max_logit_difference:.0e} | {r.dialogues_equal} dialogues as trained |"
        if r.checked and r.max_logit_difference is not None
        else f"| {r.reader} | not checked: not installed where this was made | |"
        for r in facts.readings
    ]
    return "\n".join(
        [
            "| reader | largest difference of logits, fp32 | chat template |",
            "|---|---|---|",
            *rows,
            f"| vLLM | {parity.greedy_tokens_equal} greedy tokens equal | |",
            "| a GPU, SGLang, TGI | not checked | |",
            "| llama.cpp (GGUF) | not converted: it knows no such splitting of words | |",
            "",
            f"Compared on windows of {', '.join(map(str, parity.windows))} tokens, beside the "
            "trainer (Megatron).",
            *_rounded(facts),
        ]
    )


def _rounded(facts: CardFacts) -> list[str]:
    if facts.rounding is None:
        return []
    return [
        f"The figures are of the fp32 weights. Rounded to bf16 the logits differ by at most "
        f"{facts.rounding.max_logit_difference:.0e}, and the likeliest token is the same at "
        f"{facts.rounding.argmax_equal_frac:.1%} of the positions (computed in fp32)."
    ]


def training_table(lineage: Sequence[LineageRecord]) -> str:
    """What each stage that trains or makes data left, by the run's own counts."""
    told = {
        "adopt": "the model that was brought",
        "tokenize": "text",
        "pretrain": "pre-training with MuonClip",
        "synthesize": "trajectories",
        "sft": "finetuning, loss on the assistant's tokens",
        "rl": "reinforcement, K2's objective on verifiable rewards",
    }
    rows = [
        f"| {told[record.stage]} | {describe_counts(artifact.counts)} |"
        for record in lineage
        if record.stage in told
        for artifact in record.outputs.values()
        if artifact.counts
    ]
    return "\n".join(["| | |", "|---|---|", *rows])


def describe_counts(counts: Mapping[str, float]) -> str:
    """Counts in words of people, e.g. `737,280 training tokens, loss 4.72`."""
    parts = []
    for name, value in counts.items():
        shown = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
        words = _WORDS.get(name, name.replace("_", " "))
        parts.append(words.format(shown) if "{}" in words else f"{shown} {words}")
    return ", ".join(parts)
