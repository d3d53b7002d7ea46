"""Instructions as IFEval (arXiv:2311.07911) writes them, as checks of `k2core.rewards.forms`."""

from collections.abc import Callable, Mapping
from contextlib import suppress

from pydantic import JsonValue

from k2core.problems.faults import RowError, shown
from schemas.outside import NotJsonError, read_json

Values = Mapping[str, JsonValue]
Stated = dict[str, JsonValue]


def read_constraints(named: JsonValue, values: JsonValue) -> Stated:
    """`{"kind": "all_of", "checks": [...]}` of `instruction_id_list` and `kwargs`.

    Raises:
        RowError: an instruction is unknown, or lacks a value.
    """
    named, values = _from_json(named), _from_json(values)
    if not isinstance(named, list) or not named:
        raise RowError("instruction_id_list", f"must be a list of names, not {shown(named)}")
    given = values if isinstance(values, list) else [{}] * len(named)
    if len(given) != len(named):
        raise RowError("kwargs", f"has {len(given)} entries for {len(named)} instructions")
    checks: list[JsonValue] = [
        _read_one(str(name), value if isinstance(value, dict) else {})
        for name, value in zip(named, given, strict=True)
    ]
    return {"kind": "all_of", "checks": checks}


def _read_one(name: str, values: Values) -> Stated:
    if name not in _KINDS:
        raise RowError("instruction_id_list", f"{name[:60]!r} is none of {', '.join(_KINDS)}")
    try:
        return _KINDS[name](values)
    except KeyError as error:
        raise RowError("kwargs", f"of {name} lacks {error}") from None


def _counted(kind: str, count: str, relation: str = "", default: str = "at_least") -> "_Kind":
    def read(values: Values) -> Stated:
        number = values[count]
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        if type(number) is not int:
            raise RowError("kwargs", f"{count} must be a whole number, not {shown(number)}")
        said = values.get(relation) if relation else None
        if said == "less than":
            return {"kind": kind, "count": number - 1, "relation": "at_most"}
        if said not in (None, "at least"):
            raise RowError("kwargs", f"{relation} is {shown(said)}: at least, or less than")
        return {"kind": kind, "count": number, "relation": default}

    return read


def _valued(kind: str, **fields: str) -> "_Kind":
    return lambda values: {"kind": kind} | {ours: values[theirs] for ours, theirs in fields.items()}


def _letters(values: Values) -> Stated:
    return _counted("letter_count", "let_frequency", "let_relation")(values) | {
        "letter": values["letter"]
    }


def _keyword(values: Values) -> Stated:
    return _counted("keyword_count", "frequency", "relation")(values) | {"word": values["keyword"]}


def _sections(values: Values) -> Stated:
    return _counted("sections", "num_sections")(values) | {"word": values["section_spliter"]}


def _nth_paragraph(values: Values) -> Stated:
    paragraphs = _counted("paragraphs", "num_paragraphs", default="exactly")(values)
    starts = _valued("paragraph_starts", paragraph="nth_paragraph", word="first_word")(values)
    return {"kind": "all_of", "checks": [paragraphs, starts]}


def _from_json(given: JsonValue) -> JsonValue:
    if isinstance(given, str):
        with suppress(NotJsonError):
            return read_json(given)
    return given


_Kind = Callable[[Values], Stated]
_ANSWERS: JsonValue = ["My answer is yes.", "My answer is no.", "My answer is maybe."]
_KINDS: dict[str, _Kind] = {
    "keywords:existence": _valued("keywords", words="keywords"),
    "keywords:frequency": _keyword,
    "keywords:forbidden_words": _valued("forbidden_words", words="forbidden_words"),
    "keywords:letter_frequency": _letters,
    "length_constraints:number_words": _counted("words", "num_words", "relation"),
    "length_constraints:number_sentences": _counted("sentences", "num_sentences", "relation"),
    "length_constraints:number_paragraphs": _counted(
        "starred_paragraphs", "num_paragraphs", default="exactly"
    ),
    "length_constraints:nth_paragraph_first_word": _nth_paragraph,
    "detectable_content:number_placeholders": _counted("placeholders", "num_placeholders"),
    "detectable_content:postscript": _valued("postscript", marker="postscript_marker"),
    "detectable_format:number_bullet_lists": _counted("bullets", "num_bullets", default="exactly"),
    "detectable_format:constrained_response": lambda _: {"kind": "one_of", "options": _ANSWERS},
    "detectable_format:number_highlighted_sections": _counted("highlights", "num_highlights"),
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _valued("json_only"),
    "detectable_format:title": _valued("title"),
    "combination:two_responses": _valued("two_answers"),
    "combination:repeat_prompt": _valued("repeats_prompt", prompt="prompt_to_repeat"),
    "startend:end_checker": _valued("end_phrase", text="end_phrase"),
    "startend:quotation": _valued("quoted"),
    "change_case:capital_word_frequency": _counted(
        "capital_words", "capital_frequency", "capital_relation"
    ),
    "change_case:english_capital": _valued("uppercase"),
    "change_case:english_lowercase": _valued("lowercase"),
    "punctuation:no_comma": _valued("no_commas"),
}
"""All of its instruction types but the answer's language, which nothing here tells."""
