"""Runs somebody's own function or environment in a jail. Imports nothing of ours."""

import importlib
import inspect
import math
import numbers
import sys
from typing import Any

MOST_HEARD = 20_000
"""Characters of an observation."""


def prepare(modules: list[str], path: list[str]) -> None:
    """Import what the function will, while files can still be read."""
    sys.path[:0] = path
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # the function says so itself, where it needs it
            print(f"{name}: {error}", file=sys.stderr)


def answer(given: dict[str, Any]) -> dict[str, object]:
    """What came of it, or `error`: why nothing did."""
    try:
        made = load(given["text"], given["module"], given["entry"])
        if given["task"] == "score":
            return {"reward": check(call(made, given["about"]))}
        return play(made, **given["about"])
    except BaseException as error:
        said = "".join(c if c.isprintable() else "?" for c in f"{type(error).__name__}: {error}")
        return {"error": said[:300].encode(errors="replace").decode()}


def load(text: str, module: str, entry: str) -> Any:
    """The function or class."""
    if not text:
        return getattr(importlib.import_module(module), entry)
    own = type(sys)("own")
    sys.modules["own"] = own
    exec(compile(text, module, "exec"), own.__dict__)
    if not hasattr(own, entry):
        raise NameError(f"{module} has no {entry}")
    return getattr(own, entry)


def play(
    made: Any, options: dict[str, Any], seed: int, actions: list[Any], judged: bool
) -> dict[str, object]:
    """An environment from its beginning through these actions; with `judged` its score."""
    world = made(**options)
    first = world.reset(seed)
    heard = [hear(world.step(action), action) for action in actions]
    score = check(world.score()) if judged else None
    return {
        "first": first,
        "tools": list(getattr(world, "tools", ())),
        "heard": heard,
        "reward": score,
    }


def hear(said: Any, action: Any) -> str | None:
    """An observation, of a bounded length."""
    if not isinstance(said, str) and (said is not None or isinstance(action, dict)):
        wanted = "a text" if isinstance(action, dict) else "a text, or None at the end"
        raise TypeError(f"step returned {type(said).__name__}, not {wanted}")
    if said is not None and len(said) > MOST_HEARD:
        raise ValueError(f"step returned {len(said)} characters, more than {MOST_HEARD}")
    return said


def call(function: Any, about: dict[str, Any]) -> Any:
    """Give the function the parameters that it names; an asynchronous one is run to its end."""
    parameters = inspect.signature(function).parameters.values()
    wild = any(p.kind is p.VAR_KEYWORD for p in parameters)
    wanted = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    missing = [p.name for p in wanted if p.name not in about and p.default is p.empty]
    if missing:
        raise TypeError(f"there is no {missing[0]!r} to pass; there are {', '.join(about)}")
    named = about if wild else {p.name: about[p.name] for p in wanted if p.name in about}
    value = function(**named)
    if not inspect.iscoroutine(value):
        return value
    try:
        value.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("it waits for something, and there is nothing to wait for here")


def check(value: Any) -> float:
    """The reward; True is 1."""
    if not isinstance(value, numbers.Real):
        raise TypeError(f"it returned {type(value).__name__}, not a number from 0 to 1")
    reward = float(value)
    if not math.isfinite(reward) or not 0 <= reward <= 1:
        raise ValueError(f"it returned {reward:g}, not a number from 0 to 1")
    return reward
