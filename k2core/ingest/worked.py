"""Arithmetic worked step by step, as a pupil writes it: from the ones up, with carries."""

import random
from collections.abc import Callable, Mapping

PLACES = ("ones", "tens", "hundreds", "thousands", "ten-thousands", "hundred-thousands")


def work_addition(rng: random.Random) -> str:
    """Add two numbers of up to four digits."""
    a, b = _number(rng, 4), _number(rng, 4)
    steps, carry = [], 0
    for place in range(max(len(str(a)), len(str(b)))):
        x, y = a // 10**place % 10, b // 10**place % 10
        total = x + y + carry
        terms = f"{x} + {y} + {carry}" if carry else f"{x} + {y}"
        carry, digit = divmod(total, 10)
        carried = f", carry {carry}" if carry else ""
        steps.append(f"{PLACES[place]}: {terms} = {total}, write {digit}{carried}")
    if carry:
        steps.append(f"then write {carry}")
    return _write(rng.choice((f"What is {a} + {b}?", f"Add {a} and {b}.")), steps, a + b)


def work_subtraction(rng: random.Random) -> str:
    """Subtract the smaller of two numbers of up to four digits from the larger."""
    b, a = sorted((_number(rng, 4), _number(rng, 4)))
    steps, borrow = [], 0
    for place in range(len(str(a))):
        x, y = a // 10**place % 10 - borrow, b // 10**place % 10
        borrow = int(x < y)
        note = f", borrow 10: {x + 10} - {y}" if borrow else ""
        steps.append(f"{PLACES[place]}: {x} - {y}{note} = {x + 10 * borrow - y}")
    question = rng.choice((f"What is {a} - {b}?", f"Subtract {b} from {a}."))
    return _write(question, steps, a - b)


def work_multiplication(rng: random.Random) -> str:
    """Multiply a number of up to three digits by a digit."""
    a, b = _number(rng, 3), rng.randint(2, 9)
    parts = [int(d) * 10**p for p, d in enumerate(reversed(str(a))) if d != "0"]
    steps = [f"{part} * {b} = {part * b}" for part in parts]
    if len(parts) > 1:
        steps.append(" + ".join(str(part * b) for part in parts) + f" = {a * b}")
    return _write(rng.choice((f"What is {a} * {b}?", f"Multiply {a} by {b}.")), steps, a * b)


def work_comparison(rng: random.Random) -> str:
    """Tell which of two numbers is larger, by length and then digit by digit."""
    a = _number(rng, 4)
    b = a + rng.choice((-1, 1)) * rng.randint(1, max(1, a // 3)) if a > 3 else _number(rng, 4)
    steps = []
    if len(str(a)) != len(str(b)):
        steps.append(f"{a} has {len(str(a))} digits and {b} has {len(str(b))}")
    else:
        for x, y in zip(str(a), str(b), strict=True):
            sign = "=" if x == y else ">" if x > y else "<"
            steps.append(f"{x} {sign} {y}")
            if x != y:
                break
    answer = "They are equal" if a == b else str(max(a, b))
    return _write(f"Which is larger, {a} or {b}?", steps, answer)


def work_sum(rng: random.Random) -> str:
    """Add three to five small numbers one after another."""
    numbers = [rng.randint(1, 99) for _ in range(rng.randint(3, 5))]
    steps, total = [], numbers[0]
    for number in numbers[1:]:
        steps.append(f"{total} + {number} = {total + number}")
        total += number
    return _write(f"What is {' + '.join(map(str, numbers))}?", steps, total)


WORKED: Mapping[str, Callable[[random.Random], str]] = {
    "addition": work_addition,
    "subtraction": work_subtraction,
    "multiplication": work_multiplication,
    "comparison": work_comparison,
    "sum": work_sum,
}
"""Generators by name."""


def _number(rng: random.Random, max_digits: int) -> int:
    return rng.randrange(10 ** rng.randint(1, max_digits))


def _write(question: str, steps: list[str], answer: int | str) -> str:
    return f"Question: {question}\nWorking: {'; '.join(steps)}.\nAnswer: {answer}"
