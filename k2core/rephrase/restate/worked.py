"""Exercises, records and tables as learning notes: what is given and asked, the steps, the result.

Lines are read by their form (`Working: …`, a JSON object, `The K of N is V.`); nothing is computed,
and a line of another form stays as it is.
"""

import json
import re

_LABELLED = re.compile(r"([A-Z][^:{}\[\]?]{1,30}): (.+)")
_STATED = re.compile(r"The (.+?) of (.+?) is (.+?)\.$")
_ASKED = re.compile(r"Question: What is the (.+?) of (.+?)\? (Answer: .+)$")
_ENTRY = re.compile(r"([^:\s]+): (\S+)$")
_TABLE = re.compile(r"Table of the (.+?): (.+)\.$")
_SUM = re.compile(r"What is (.+)\?$")
_COMPARED = re.compile(r"Which is (\w+), (.+) or (.+)\?$")
_COLUMN = re.compile(r"([a-z ]+): (.+)$")
_LISTS = {
    "List": "Given list",
    "In order": "Put in order",
    "From the end": "Begun from its end",
    "Again": "Once again",
}


def write_worked(text: str) -> str:
    """Each line in its turn."""
    lines, counted = list[str](), ""
    for line in map(str.strip, text.split("\n")):
        if found := _TABLE.match(line):
            counted = found[1]
            lines.append(_tell_table(counted, found[2]) or line)
        elif counted and (found := _ENTRY.match(line)):
            lines.append(f"- {found[1]} has {found[2]}.")
        else:
            lines += _restate(line)
    return "\n".join(lines)


def _restate(line: str) -> list[str]:
    if line.startswith("{"):
        return [_tell_record(line) or line]
    if found := _ASKED.match(line):
        return [f"- What {found[1]} does {found[2]} have? {found[3].removesuffix('.')}."]
    if found := _STATED.match(line):
        return [f"- {found[2]} has the {found[1]} {found[3]}."]
    if found := _LABELLED.match(line):
        return _tell_labelled(found[1], found[2])
    return [line] if line else []


def _tell_table(counted: str, entries: str) -> str:
    """The entries of `Table of the age: ann 7, bob 9.`."""
    pairs = [entry.rsplit(" ", 1) for entry in entries.split(", ")]
    if not all(len(pair) == 2 for pair in pairs):
        return ""
    return f"Each {counted}: {', '.join(f'{number} for {name}' for name, number in pairs)}."


def _tell_record(line: str) -> str:
    """`{"name": "ann", "age": "7"}`; empty for an object that holds others."""
    try:
        record = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(record, dict) or not all(isinstance(v, str) for v in record.values()):
        return ""
    rest = ", ".join(f"{key} {value}" for key, value in record.items() if key != "name")
    return f"Record of {record['name']}: {rest}." if "name" in record else f"Record: {rest}."


def _tell_labelled(label: str, said: str) -> list[str]:
    plain = said.removesuffix(".")
    if label == "Question":
        return [_ask(said)]
    if label == "Working":
        return ["Steps:", *(f"- {_step(step.strip())}." for step in plain.split(";"))]
    if label == "Answer":
        return [f"Answer found: {plain}."]
    listed = _LISTS.get(label) or re.sub("^The (first|last)", lambda m: m[1].capitalize(), label)
    return [f"{listed}: {plain}."]


def _ask(said: str) -> str:
    if found := _SUM.match(said):
        return f"To find: what {found[1]} is."
    if found := _COMPARED.match(said):
        return f"To find: which is the {found[1]} of {found[2]} and {found[3]}."
    if said[0].isupper() and not said.endswith("?"):
        return f"To do: {said[0].lower()}{said[1:]}"
    return f"To find: {said}"


def _step(step: str) -> str:
    """`ones: 5 + 8 = 13, write 3, carry 1` tells the carry before what is written."""
    if found := _COLUMN.match(step):
        first, *rest = found[2].split(", ")
        return f"{found[1]} {first}{': ' if rest else ''}{', '.join(reversed(rest))}"
    return step
