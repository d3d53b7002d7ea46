"""Tests that nobody can pass, or that everybody passes, are the problem's error and are found."""

from collections.abc import Iterator

import pytest

from k2core.problems import FAMILIES, Posed, pose_training
from k2core.sandbox import Sandbox
from k2core.synthesize.telling import check_code
from schemas.problems import ProblemsConfig

CODE = ("linear_function", "text_function")
PROBLEMS = ProblemsConfig(families=dict.fromkeys(FAMILIES, 0.0) | dict.fromkeys(CODE, 1.0))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


def test_the_families_of_code_have_tests_that_tell(sandbox: Sandbox) -> None:
    assert check_code(PROBLEMS, sandbox) == 3 * len(CODE)


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("assert callable({name})", "does no work passes them"),
        ("assert {name}(lambda x: x) == 1", "the right solution fails them"),
        ("assert {name}(0) is None", "the right solution fails them"),
    ],
)
def test_a_family_whose_tests_do_not_tell_is_named(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, test: str, said: str
) -> None:
    def spoilt(problems: ProblemsConfig, index: int) -> Posed:
        posed = pose_training(problems, index)
        names = posed.problem.expected["entry_points"]
        assert isinstance(names, list)
        expected = {**posed.problem.expected, "tests": [test.format(name=names[0])]}
        return posed._replace(problem=posed.problem.model_copy(update={"expected": expected}))

    monkeypatch.setattr("k2core.synthesize.telling.pose_training", spoilt)
    with pytest.raises(ValueError, match=rf"_function/train/\S+: tests: .*{said}"):
        check_code(PROBLEMS, sandbox)
