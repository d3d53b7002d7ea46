"""The card's tables of scores: checkpoints side by side, conditions, and what was given away."""

from collections.abc import Mapping

from schemas.evaluate import CHECKPOINTS, Overlaps, Rate, Scores

_SAID = {
    "unseen_tools": "tools under names, arguments and words that no training dialogue declares",
    "unseen_enforced": "the same, and calls held to their schemas while they are written",
    "enforced": "calls held to their tools' schemas while they are written",
    "unfit_tools": "tools declared where none fits",
    "failing_tools": "six of ten calls answered `busy`, at most two in a row",
    "one_shot": "the calculator taken away: an answer at once",
}


def evaluation_table(scores: Scores) -> str:
    """Pass rates by family and group, then perplexities; base, SFT and RL side by side."""
    head = ["| | base | SFT | RL |", "|---|---|---|---|"]
    signs = {"+": " ▲", "-": " ▼", "": ""}
    marks = {family: signs[scores.mark(family)] for family in scores.families}
    families = [_row(f"{f}{marks[f]}", r) for f, r in scores.families.items()]
    groups = [_row(f"**{group}**", rates) for group, rates in scores.groups.items()]
    calls = _row("valid tool calls", scores.tool_calls)
    texts = [
        f"| perplexity, {domain} | "
        + " | ".join(f"{by[name].perplexity:.2f}" for name in CHECKPOINTS)
        + " |"
        for domain, by in scores.perplexity.items()
    ]
    note = (
        "▲, ▼: reinforcement learning raised, lowered the pass rate (exact McNemar test against "
        "SFT on the same problems, p below 5 % over all families by Holm's correction)."
        if any(marks.values())
        else "Reinforcement learning changed no family's pass rate by more than chance may "
        "(exact McNemar test, Holm's correction)."
    )
    chosen = [_row(f"likeliest of four: {task}", r) for task, r in scores.choices.items()]
    cut = [_row("cut off before their end", scores.cut_off)] if scores.cut_off else []
    return "\n".join([*head, *families, *groups, calls, *cut, *chosen, *texts, "", note])


def _row(name: str, rates: Mapping[str, Rate]) -> str:
    cells = (rates[checkpoint] for checkpoint in CHECKPOINTS)
    return f"| {name} | " + " | ".join(map(_cell, cells)) + " |"


def condition_table(scores: Scores, which: str) -> str:
    """What each condition changed, on the same problems; nothing where none was asked."""
    rows = []
    for condition, by in scores.variants.items():
        found = by[which]
        mark = {"+": " ▲", "-": " ▼", "": ""}[found.change.mark]
        cells = (found.plain, found.rate, found.plain_tool_calls, found.tool_calls)
        rows.append(f"| {_SAID[condition]}{mark} | " + " | ".join(map(_cell, cells)) + " |")
    if not rows:
        return ""
    head = [
        "| the same problems | plainly | so | valid calls, plainly | so |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, "", "▲, ▼ as above, one condition at a time."])


def overlap_table(overlaps: Overlaps, brought: str) -> str:
    """How much of what was asked stood in what was trained on."""
    head = [
        "| items | | in the text | in the dialogues | with their answer |",
        "|---|---|---|---|---|",
    ]
    rows = [
        f"| {suite} | {o.items} | {o.text} | {o.dialogues} | {o.answered} |"
        for suite, o in overlaps.suites.items()
    ]
    text = f"{overlaps.tokens_read:,} tokens of the text to train on"
    if brought:
        text += f" (which {brought} did not read: what it read is not known here)"
    note = (
        f"Items of which training data holds {overlaps.ngram} words and signs in a row, or all of "
        f"a shorter item: {text}, and all SFT dialogues. *With their answer*: asked word by word, "
        "with the same data and the same expected answer."
    )
    return "\n".join([*head, *rows, "", note])


def _cell(rate: Rate) -> str:
    return f"{rate.rate:.0%} [{rate.low:.0%}, {rate.high:.0%}]" if rate.total else ""
