"""What the Hub reads at the head of a card."""

from collections.abc import Mapping
from typing import Literal

import yaml

from k2core.model.shards import Precision
from schemas.evaluate import Rate, Scores
from schemas.release import ReleaseConfig

Which = Literal["base", "policy"]


def repository(config: ReleaseConfig, which: Which, precision: Precision = "fp32") -> str:
    """Name of a model's repository."""
    name = config.name if which == "policy" else f"{config.name}-base"
    return name if precision == "fp32" else f"{name}-{precision}"


def card_head(
    config: ReleaseConfig, which: Which, scores: Scores, precision: Precision = "fp32"
) -> str:
    """YAML between its two lines: licence, languages, parent, and results in the Hub's form."""
    head: dict[str, object] = {"license": config.license}
    if config.license == "other":
        head |= {"license_name": "see-licenses", "license_link": "LICENSES.md"}
    head |= {
        "language": list(config.languages),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["mixture-of-experts", "multi-head-latent-attention", "muonclip", "tool-use"],
    }
    if precision != "fp32":
        parent = f"{config.organization}/{repository(config, which)}"
        head |= {"base_model": parent, "base_model_relation": "quantized"}
    elif which == "policy":
        parent = f"{config.organization}/{repository(config, 'base')}"
        head |= {"base_model": parent, "base_model_relation": "finetune"}
    head["model-index"] = [
        {"name": repository(config, which, precision), "results": _results(which, scores)},
    ]
    text: str = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---\n"


def _results(which: Which, scores: Scores) -> list[dict[str, object]]:
    def result(name: str, metric: Mapping[str, object]) -> dict[str, object]:
        return {
            "task": {"type": "text-generation"},
            # the Hub joins results of one type, so each data set is a type of its own
            "dataset": {"name": f"held-out {name}", "type": f"held-out/{name.split()[-1]}"},
            "metrics": [dict(metric)],
        }

    def passed(rates: Mapping[str, Rate]) -> dict[str, object]:
        rate = rates[which]
        name = f"passed, 95 % interval {rate.low:.3f} to {rate.high:.3f}"
        return {"type": "pass@1", "value": round(rate.rate, 4), "name": name}

    found = [result(f"problems: {family}", passed(r)) for family, r in scores.families.items()]
    return found + [
        result(f"text: {domain}", {"type": "perplexity", "value": round(by[which].perplexity, 4)})
        for domain, by in scores.perplexity.items()
    ]
