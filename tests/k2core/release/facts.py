"""Scores, sources and the other small things that a release is made of."""

from schemas.evaluate import (
    CHECKPOINTS,
    Change,
    Overlaps,
    Perplexity,
    Rate,
    Scores,
    SuiteOverlap,
    VariantScore,
)

_WIKI: dict[str, str | int] = {
    "license": "CC-BY-SA-4.0",
    "package": "wiki-offline",
    "version": "1.2",
    "domain": "knowledge",
    "documents": 7,
    "credit": "its authors",
}
SOURCES: dict[str, dict[str, dict[str, str | int]]] = {
    "raw": {"wiki": _WIKI},
    "tokens": {
        "wiki": _WIKI,
        "package:writer": {"license": "Apache-2.0", "package": "writer", "version": "sha256:ab"},
    },
    "trajectories": {"k2core.problems": {"license": "MIT", "role": "generated", "tools": 3}},
}


def rate(passed: int, low: float, high: float, total: int = 20) -> Rate:
    return Rate(passed=passed, total=total, rate=passed / total, low=low, high=high)


def rates(*triple: Rate) -> dict[str, Rate]:
    return dict(zip(CHECKPOINTS, triple, strict=True))


def change(gained: int, lost: int, p_value: float) -> Change:
    return Change(gained=gained, lost=lost, total=20, p_value=p_value, p_corrected=p_value)


def scores(lookup: tuple[int, int, float] = (9, 0, 0.004)) -> Scores:
    none, some = rate(0, 0.0, 0.16), rate(10, 0.3, 0.7)
    texts = [Perplexity(tokens=9, perplexity=p, bits_per_byte=1) for p in (12.3456, 13, 14)]
    return Scores(
        checkpoints=dict.fromkeys(CHECKPOINTS, "x"),
        temperature=0.7,
        weights=dict.fromkeys(CHECKPOINTS, "y"),
        families={
            "lookup": rates(none, some, rate(19, 0.76, 0.99)),
            "compare": rates(none, some, some),
        },
        groups={"tools": rates(none, some, some)},
        tool_calls=rates(none, none, some),
        perplexity={"web": dict(zip(CHECKPOINTS, texts, strict=True))},
        changes={"policy": {"lookup": change(*lookup), "compare": change(3, 3, 1.0)}},
        variants={
            "enforced": {
                name: VariantScore(
                    rate=some,
                    plain=none,
                    change=change(10, 0, 0.002),
                    tool_calls=rate(20, 0.84, 1.0),
                    plain_tool_calls=some,
                )
                for name in CHECKPOINTS
            }
        },
        choices={"continue web": rates(some, some, none)},
        overlaps=Overlaps(
            ngram=13,
            tokens_read=900,
            suites={"bfcl": SuiteOverlap(items=1240, text=3, dialogues=0, answered=0)},
        ),
        cut_off=rates(some, none, none),
        failures={"policy": {"wrong_answer": 7}},
        pass_at={},
    )
