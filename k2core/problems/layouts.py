r"""What data sets of the field write where a verifier of ours looks for something else.

A row says `answer`, `cases`, `tests`, `calls` or `instruction_id_list` (or a source's `fields` say
which of its fields is that); here these are read in the forms in which they come: worked solutions
with `####` or `\boxed{}`, JSON in a text, lists of one, messages whose content is the answer.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import cast

from pydantic import JsonValue

from k2core.problems.call_tests import read_call_tests
from k2core.problems.code_tests import read_cases, read_solution, read_tests
from k2core.problems.constraints import read_constraints
from k2core.problems.declared import read_calls
from k2core.problems.faults import RowError, shown
from k2core.problems.marked import final_answer, marked_answer, plain_number
from schemas.outside import NotJsonError, read_json

Fields = dict[str, JsonValue]
_INTEGER = re.compile(r"[$\u20ac\u00a3\u00a5]? ?([-+]?) ?[$]?(\d{1,3}(?:,\d{3})+|\d+)(?:\.0*)?\W*")
_UNIT = re.compile(r"(?:\\(?:text|mathrm|mbox)\{[^{}\d]*\}|[A-Za-z\u00b0% /]|\\%|\^?\\circ)+\W*$")
_LONGEST, _LONGEST_ANSWER, _MOST_WORDS = 200, 1000, 20
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_LABELLED = re.compile(r"\(?([A-Za-z])\s?[).:]\s*(?=\S)")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTER = re.compile(
    r"\W*(?:\\(?:text|textbf|mathrm)\{)?\W*([A-Z])(?![\w'])(?:[).:\]}].*)?\W*", re.DOTALL
)


def read_layout(verifier: str, found: Fields, asked: str) -> tuple[str, Fields]:
    """The verifier, and what it holds an answer against, of what a row says.

    Of code, data sets test some rows by standard input and others by calls of a function: these go
    to `python_function` whichever is named.

    Args:
        verifier: its name.
        found: the row's fields but for what is asked.
        asked: its last message, which code may complete.

    Raises:
        RowError: it does not say what the verifier needs; says which field, and what would do.
    """
    if verifier in _CODE:
        solution = read_solution(found["solution"], asked) if "solution" in found else None
        if called := read_call_tests(found, solution or ""):
            verifier, found = "python_function", {**found, **called}
        return verifier, _CODE[verifier](found, asked)
    return verifier, _READERS[verifier](found) if verifier in _READERS else found


def only_text(given: JsonValue, field: str = "answer") -> JsonValue:
    """A value out of its wrapping: messages, a list of one, JSON of these in a text."""
    if isinstance(given, str) and given.lstrip()[:1] == "[":
        with suppress(NotJsonError):
            listed = read_json(given)
            given = listed if _is_wrapped(listed) else given
    if isinstance(given, list) and len(given) == 1:
        return only_text(given[0], field)
    if isinstance(given, list) and given and isinstance(given[-1], dict):
        return only_text(given[-1], field)
    if isinstance(given, dict) and isinstance(given.get("content"), str):
        return given["content"]
    if isinstance(given, list | dict | bool):
        raise RowError(field, f"must be a text or a number, not {shown(given)}")
    return given


def _is_scalar(value: JsonValue) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _is_wrapped(listed: JsonValue) -> bool:
    one = isinstance(listed, list) and len(listed) == 1
    return one and isinstance(cast("list[JsonValue]", listed)[0], str | int | float)


def _expression(found: Fields) -> Fields:
    if "answer" not in found:
        return found
    answer = final_answer(str(only_text(found["answer"])))
    if len(answer) > _LONGEST_ANSWER or len(_WORD.findall(answer)) > _MOST_WORDS:
        raise RowError(
            "answer",
            "is a whole solution, and marks no end of it by #### or \\boxed{}: name the "
            "field with the answer alone",
        )
    return found | {"answer": answer}


def _integer(found: Fields) -> Fields:
    return found | {"answer": whole_number(found["answer"])} if "answer" in found else found


def whole_number(given: JsonValue) -> int:
    """`"2"`, `2.0`, `"1,000"`, `"$2"`, `"2 apples"` and `"... #### 2"`, as data sets write it.

    Raises:
        RowError: it is no whole number.
    """
    answer = only_text(given)
    if isinstance(answer, float) and answer.is_integer():
        return int(answer)
    if type(answer) is int:
        return answer
    if isinstance(answer, str):
        text = plain_number(final_answer(answer)).strip().strip("$").strip()
        match = _INTEGER.fullmatch(_UNIT.sub("", text)) if len(text) <= _LONGEST else None
        if match:
            return int(match[1] + match[2].replace(",", ""))
    raise RowError(
        "answer", f"must be a whole number, not {shown(answer)}: expression takes other mathematics"
    )


def _text(found: Fields) -> Fields:
    """A text, or several of which any will do.

    `["Paris", "paris"]`, `{"target": [...]}`, SQuAD's `{"text": [...]}`, TriviaQA's `aliases`.
    """
    if "answer" not in found:
        return found
    answer = found["answer"]
    if isinstance(answer, dict):
        listed = (answer.get(name) for name in ("target", "text", "aliases", "spans"))
        several = next((one for one in listed if isinstance(one, list)), None)
        if several is not None:
            first = answer.get("value")
            answer = [*([first] if isinstance(first, str) else []), *several]
    if isinstance(answer, list) and len(answer) > 1 and all(map(_is_scalar, answer)):
        return found | {"answer": list(dict.fromkeys(map(str, answer)))}
    answer = only_text(answer)
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    if isinstance(answer, str) and not answer.strip():
        raise RowError("answer", "must be a text that is not empty")
    if isinstance(answer, str) and (marked := marked_answer(answer)) not in (None, answer.strip()):
        raise RowError(
            "answer",
            f"is a solution that ends in {marked!r}, and text_answer wants all of it: "
            "take integer_answer or expression",
        )
    return found | {"answer": answer}


def _choice(found: Fields) -> Fields:
    if "answer" not in found:
        return found
    labels, texts = read_choices(found.get("choices"))
    answer, letter = only_text(found["answer"]), ""
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    if isinstance(answer, int):
        letter = LETTERS[answer] if 0 <= answer < (len(texts) or 26) else ""
    else:
        said = final_answer(str(answer))
        if said in labels:
            letter = LETTERS[labels.index(said)]
        elif said in texts:
            letter = LETTERS[texts.index(said)]
        elif said.isdecimal() and int(said) < len(texts):  # from 0 on, as HellaSwag counts
            letter = LETTERS[int(said)]
        elif match := _LETTER.fullmatch(said):
            letter = match[1]
    if not letter or (texts and letter not in LETTERS[: len(texts)]):
        one_of = f"one of {', '.join(labels)}" if texts else "a letter"
        raise RowError("answer", f"must be {one_of}, not {shown(answer)}")
    return found | {"answer": letter, "choices": list(texts)}


def read_choices(given: JsonValue) -> tuple[list[str], list[str]]:
    """Labels and texts of what may be chosen; none where the row does not say.

    Raises:
        RowError: it is no list of texts, nor labels with texts.
    """
    if isinstance(given, str):
        with suppress(NotJsonError):
            given = read_json(given)
    if isinstance(given, dict) and {"text", "label"} <= set(given):
        labels, texts = given["label"], given["text"]
    elif isinstance(given, dict):
        labels, texts = list(given), list(given.values())
    else:
        labels, texts = None, given
    if given is None:
        return [], []
    if not isinstance(texts, list) or not 2 <= len(texts) <= len(LETTERS):
        raise RowError("choices", f"must be a list of 2 to 26 texts, not {shown(given)}")
    named = list(LETTERS[: len(texts)])
    stated = list(map(str, labels)) if isinstance(labels, list) else named
    said = [str(text) for text in texts]
    own = [_LABELLED.match(text) for text in said]
    if [match and match[1].upper() for match in own] == named:  # `A) 21`, as AQuA-RAT has them
        said = [text[match.end() :] for text, match in zip(said, own, strict=True) if match]
    return stated, said


def _program(found: Fields, asked: str) -> Fields:
    given = found.get("cases", found.get("answer"))
    read = found if given is None else found | {"cases": read_cases(given)}
    if "solution" not in found:
        return read
    return read | {"solution": read_solution(found["solution"], asked)}


def _function(found: Fields, asked: str) -> Fields:
    return found if found.get("tests") is None else found | read_tests(found, asked)


def _calls(found: Fields) -> Fields:
    given = found.get("calls", found.get("answer"))
    return found if given is None else found | {"calls": read_calls(given)}


def _instruction(found: Fields) -> Fields:
    named = found.get("instruction_id_list")
    return found if named is None else read_constraints(named, found.get("kwargs"))


_READERS: Mapping[str, Callable[[Fields], Fields]] = {
    "expression": _expression,
    "integer_answer": _integer,
    "text_answer": _text,
    "choice": _choice,
    "function_calls": _calls,
    "instruction": _instruction,
}
_CODE: Mapping[str, Callable[[Fields, str], Fields]] = {
    "program": _program,
    "python_function": _function,
}
