import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.ingest.math import REASONING_GYM, list_reasoning_gym, list_worked
from k2core.ingest.worked import WORKED
from schemas.ingest import IngestConfig

OPERATIONS = {
    "addition": lambda a, b: a + b,
    "subtraction": lambda a, b: a - b,
    "multiplication": lambda a, b: a * b,
}


@given(seed=st.integers(0, 2**32), name=st.sampled_from(sorted(WORKED)))
def test_every_step_and_answer_is_right(seed: int, name: str) -> None:
    question, working, answer = WORKED[name](random.Random(seed)).split("\n")
    numbers = [int(n) for n in re.findall(r"\d+", question)]
    if question.startswith("Question: Subtract"):
        numbers.reverse()
    if name in OPERATIONS:
        assert answer == f"Answer: {OPERATIONS[name](*numbers)}"
    elif name == "sum":
        assert answer == f"Answer: {sum(numbers)}"
    elif numbers[0] != numbers[1]:
        assert answer == f"Answer: {max(numbers)}"
    for left, right in re.findall(r"(-?\d+(?: [+*-] \d+)+) = (-?\d+)", working):
        assert eval(left) == int(right)


def test_addition_is_read_off_its_digits() -> None:
    for seed in range(200):
        text = WORKED["addition"](random.Random(seed))
        digits = re.findall(r"write (\d)", text)
        assert f"Answer: {int(''.join(reversed(digits)))}" in text


@pytest.mark.parametrize("lister", [list_reasoning_gym, list_worked])
def test_problems_depend_on_their_path_alone(lister: object) -> None:
    assert callable(lister)
    small, large = (lister(IngestConfig(num_math=num)) for num in (26, 260))
    texts = {item.path: item.read() for item in large}
    assert {item.path for item in small} < set(texts)
    for item in small:
        assert item.read() == texts[item.path]
        assert re.fullmatch(r"Question: .+\n(Working: .+\n)?Answer: .+", texts[item.path])
    assert len({path.split("/")[0] for path in texts}) in {len(REASONING_GYM), len(WORKED)}
