"""The model card: what it is, what it was made of, what it can and cannot do."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k2core.model.counts import sum_parameters
from k2core.model.hf import load_shape
from k2core.release.licenses import Source
from k2core.release.parity import Parity
from schemas.artifacts import Checkpoint, TokenCorpus, TrajectorySet
from schemas.release import ReleaseConfig


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
    scores = json.loads(facts.scores_file.read_text())
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
({shape.num_dense_layers} dense), {shape.experts_per_token} of {shape.num_experts} experts and {shape.num_shared_experts} shared,
vocabulary {shape.vocab_size}. `base/` is the pre-trained model, `policy/` the agent after
finetuning and reinforcement learning.

## What it can and cannot do

A model of this size trained for minutes knows next to nothing. The policy follows K2's tool-call
template, picks among the tools of a prompt, copies arguments and results, and solves the short
problems of the table below about as often as it says. It does not know facts, does not converse,
and does not reason beyond these families. Do not use it for anything but study.

## Evaluation

{evaluation_table(scores)}

95 % intervals in brackets; problems and texts were held out of training. Pass rates are of single
samples, checked by programs.

## Training

| | |
|---|---|
| pre-training | {facts.tokens.counts.get("train_tokens", 0):,.0f} tokens in the corpus's budget, \
MuonClip (Muon, AdamW, QK-Clip) |
| finetuning | {facts.trajectories.counts.get("accepted", 0):,.0f} accepted trajectories, loss on \
the assistant's tokens |
| reinforcement | K2's objective on verifiable rewards |
| base weights | `{facts.base.digest}` |
| policy weights | `{facts.policy.digest}` |

The sources of the text, with their licences, are in `LICENSES.md`: \
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


def evaluation_table(scores: Mapping[str, Any]) -> str:
    """Pass rates by group and family, then perplexities; base, SFT and RL side by side."""
    raise NotImplementedError(scores)
