"""Mathematics as people and models type it: signs of Unicode, decimals, units, denials."""

from collections.abc import Iterator

import pytest

from k2core.rewards import verify
from k2core.sandbox import Sandbox
from tests.k2core.rewards.posing import pose, say


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        ("10^{-7}", ("1e-7", "0.0000001"), ("0", "0.0", "0.0000002")),
        (r"\frac{3}{4}", ("0.750", r"\boxed{\tfrac34}"), ("0.7500001", r"\boxed{3}/\boxed{4}")),
        ("0.0000012", (r"1.2\times10^{-6}",), ("0.000001", "0")),
        (r"\frac{1}{3}", ("0.333333", "\u2153"), ("0.33", "0.333334", "0")),
        ("1,234,567", ("1 234 567", "1'234'567", "1\u202f234\u202f567"), ("1", "234 567")),
        (r"\frac12", ("\u00bd", "\\boxed{\u00bd}"), ("\u00bc", "12")),
        ("5/2", ("2\u00bd", "2 1/2"), ("21/2", "2")),
        (r"\sqrt{3}/2", ("\u221a3/2", "\u221a(3)/2"), ("\u221a2/3", "3/2")),
        ("x^2+1", ("x\u00b2+1",), ("x\u00b3+1", "x+1")),
        (r"6\times 10^{23}", ("6 \u00d7 10\u00b2\u00b3", "6 x 10^23"), ("6 x 10^22", "60")),
        (r"x \geq 4", ("x >= 4", "x \u2265 4"), ("x > 4", "x <= 4", "4")),
        (r"(-\infty, 3]", ("(-\u221e, 3]", "(-inf, 3]"), ("(-\u221e, 3)", "3")),
        (r"(0, \infty)", ("(0, +\u221e)", r"(0,+\infty)"), ("[0, \u221e)",)),
        (r"\langle 1,2\rangle", (r"\boxed{\langle 1, 2 \rangle}",), ("1.2", r"\langle 2,1\rangle")),
        ("(1,2),(3,4)", ("(1,2) and (3,4)",), ("(1,4),(3,2)",)),
        (r"11:30 \text{ a.m.}", ("11:30 a.m.", "11:30"), ("11:30 p.m.", "30")),
        (r"\text{60 degrees}", ("60 degrees", r"\boxed{60}"), ("30 degrees",)),
        (r"33\frac{1}{3}\%", (r"\boxed{33\frac{1}{3}\%}",), ("33%",)),
        (r"\frac{a}{b}", (r"\dfrac ab",), (r"\dfrac ba",)),
        (r"3 \text{ apples and } 4 \text{ pears}", ("3 apples and 4 pears",), ("3", "4", "34")),
        ("3 hours 20 minutes", ("3 hours 20 minutes",), ("3", "3 hours 40 minutes", "60")),
        ("2024-02-01", ("2024-02-01", r"\boxed{2024-02-01}"), ("2021", "2024", "2024-01-02")),
        ("1.234,56", ("1234.56", "1,234.56", "1.234,56"), ("1.23456", "1.234")),
        ("50", ("\uffe550", "50 \u20ac"), ("$5 0",)),
        ("2", ("Therefore, 2.", "The answer is not 3, it is 2."), ("not 2", "x<=2", "2?")),
        ("2", ("It is not $3$ but $2$.",), ("It is not $2$.", "the answer is not 2", "1..2")),
        ("4", ("16/4",), (r"\boxed{4\ldots}", r"\boxed{4\to5}", r"\boxed{4..5}")),
        ("10^{10^{10}}", (r"\boxed{10^{10^{10}}}",), ("10",)),
    ],
)
def test_what_is_written_otherwise_is_equal_and_what_is_near_is_not(
    sandbox: Sandbox, gold: str, right: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    problem = pose("expression", {"answer": gold})
    for text, reward in [(text, 1.0) for text in right] + [(text, 0.0) for text in wrong]:
        verdict = verify(problem, say(text), sandbox)
        assert (verdict.reward, verdict.is_faulty) == (reward, False), text
