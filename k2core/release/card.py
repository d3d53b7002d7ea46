"""The model card: what it is, what it was made of, what it can and cannot do."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from k2core.model.counts import sum_parameters
from k2core.model.hf import load_shape
from k2core.release.licenses import Source
from k2core.release.parity import Parity
from schemas.artifacts import Checkpoint, TokenCorpus, TrajectorySet
from schemas.evaluate import CHECKPOINTS, Rate, Scores
from schemas.release import ReleaseConfig

_SMALL = 100e6
"""Parameters below which a model is for study only."""


@dataclass(frozen=True)
class Facts:
    """What the card is written from."""

    shape_folder: Path
    scores_file: Path
    sources: list[Source]
    tokens: TokenCorpus
    trajectories: TrajectorySet
    base: Checkpoint
    policy: Checkpoint
    parity: Parity


def model_card(config: ReleaseConfig, facts: Facts) -> str:
    """MODEL_CARD.md, with the Hub's metadata on top."""
    shape = load_shape(facts.shape_folder)
    size = sum_parameters(shape)
    scores = Scores.model_validate_json(facts.scores_file.read_bytes())
    return f"""---
license: {config.license}
library_name: transformers
pipeline_tag: text-generation
tags: [mixture-of-experts, multi-head-latent-attention, muonclip, tool-use]
---

# {config.name}

A sparse mixture of experts with multi-head latent attention in the shape of Kimi K2
(arXiv:2507.20534), made from raw text: {size.total / 1e6:.2f} M parameters,
{size.active / 1e6:.2f} M active a token, {shape.num_layers} layers
({shape.num_dense_layers} dense), {shape.experts_per_token} of {shape.num_experts} experts \
and {shape.num_shared_experts} shared, vocabulary {shape.vocab_size}. `base/` is the \
pre-trained model, `policy/` the agent after
finetuning and reinforcement learning.

## What it can and cannot do

{_abilities(scores, size.total)}

## Evaluation

{evaluation_table(scores)}

95 % intervals in brackets. Problems and texts were held out of training; answers are checked by
programs.

## Training

{_training_table(facts)}

The sources of the data, with their licences, are in `LICENSES.md`: \
{", ".join(source.name for source in facts.sources)}. Every stage, config and digest is in
`lineage.json`.

## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("policy")
tokenizer = AutoTokenizer.from_pretrained("policy")
chat = [{{"role": "user", "content": "What is 12 + 7?"}}]
ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt",
                                    return_dict=True)
print(tokenizer.decode(model.generate(**ids, max_new_tokens=32)[0]))
```

vLLM serves the same folders. In fp32, transformers' logits differ from the trainer's by at most
{facts.parity.max_logit_difference:.0e} (`parity.json`).
"""


def _abilities(scores: Scores, parameters: float) -> str:
    passed = sum(rates["policy"].passed for rates in scores.families.values())
    asked = sum(rates["policy"].total for rates in scores.families.values())
    calls = scores.tool_calls["policy"]
    text = (
        f"The policy passes {passed} of {asked} held-out problems of the families below, which it\n"
        f"practised on other contents; {calls.passed} of its {calls.total} tool calls were valid.\n"
        "Nothing else was measured."
    )
    if parameters < _SMALL:
        text += (
            " With so few parameters it knows no facts, does not converse and does not\n"
            "reason beyond these families: use it for study only."
        )
    return text


def evaluation_table(scores: Scores) -> str:
    """Pass rates by family and group, then perplexities; base, SFT and RL side by side."""
    head = ["| | base | SFT | RL |", "|---|---|---|---|"]
    improved = set(scores.improved())
    families = [_row(f"{f}{' ▲' if f in improved else ''}", r) for f, r in scores.families.items()]
    groups = [_row(f"**{group}**", rates) for group, rates in scores.groups.items()]
    calls = _row("valid tool calls", scores.tool_calls)
    texts = [
        f"| perplexity, {domain} | "
        + " | ".join(f"{by[name].perplexity:.2f}" for name in CHECKPOINTS)
        + " |"
        for domain, by in scores.perplexity.items()
    ]
    note = (
        "▲: reinforcement learning raised the pass rate beyond both intervals."
        if improved
        else "Reinforcement learning raised no family's pass rate beyond both intervals."
    )
    return "\n".join([*head, *families, *groups, calls, *texts, "", note])


def _training_table(facts: Facts) -> str:
    return f"""| | |
|---|---|
| pre-training | {facts.tokens.counts["train_tokens"]:,.0f} tokens in the corpus's budget, \
MuonClip (Muon, AdamW, QK-Clip) |
| finetuning | {facts.trajectories.counts["trajectories"]:,.0f} accepted trajectories, loss on \
the assistant's tokens |
| reinforcement | K2's objective on verifiable rewards |
| base weights | `{facts.base.digest}` |
| policy weights | `{facts.policy.digest}` |"""


def _row(name: str, rates: Mapping[str, Rate]) -> str:
    cells = (rates[checkpoint] for checkpoint in CHECKPOINTS)
    return (
        f"| {name} | "
        + " | ".join(f"{r.rate:.0%} [{r.low:.0%}, {r.high:.0%}]" for r in cells)
        + " |"
    )
