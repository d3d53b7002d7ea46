"""Runs somebody's own function or environment in a jail. Imports nothing of ours."""

import decimal
import importlib
import inspect
import json
import math
import numbers
import sys
from collections.abc import Coroutine
from typing import Any

MOST_HEARD = 20_000
"""Characters of an observation."""
MOST_BEGUN = 50_000
"""Characters of a message that a dialogue begins with."""


def prepare(modules: list[str], path: list[str]) -> None:
    """Import what the function will, `module` or `module:name`, while files can still be read."""
    sys.path[:0] = path
    for name in modules:
        module, _, part = name.partition(":")
        try:
            found = importlib.import_module(module)
            if part and not hasattr(found, part):  # which loads what is loaded late
                importlib.import_module(f"{module}.{part}")
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
        return {"error": describe(error)}


def describe(error: BaseException) -> str:
    """What an error says, as one line; its name where it cannot say it."""
    try:
        said = f"{type(error).__name__}: {error}"
    except BaseException:
        said = type(error).__name__
    plain = "".join(c if c.isprintable() else "?" for c in said[:300])
    return plain.encode(errors="replace").decode()


def load(text: str, module: str, entry: str) -> Any:
    """The function or class."""
    if not text:
        return getattr(importlib.import_module(module), entry)
    own = type(sys)("own")
    own.__file__ = module
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
    for name, given in (("reset", (seed,)), ("step", ("",)), ("score", ())):
        check_method(world, name, given)
    first = begin(world.reset(seed))
    tools = list_tools(world)
    heard = [hear(world.step(action), action) for action in actions]
    score = check(world.score()) if judged else None
    return {
        "first": first,
        "tools": tools,
        "heard": heard,
        "reward": score,
    }


def check_method(world: object, name: str, given: tuple[object, ...]) -> None:
    """Hold a method against how it will be called, before anything is."""
    method = getattr(world, name, None)
    if not callable(method):
        raise TypeError(
            f"has no method {name}: an environment has reset(seed), step(action), score()"
        )
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # of what is not Python's own
        return
    try:
        signature.bind(*given)
    except TypeError:
        wanted = {"reset": "reset(seed)", "step": "step(action)", "score": "score()"}[name]
        raise TypeError(f"{name}{signature} cannot be called as {wanted}") from None


def begin(said: object) -> object:
    """What reset returned: a text, or messages."""
    messages = said if isinstance(said, list) else [{"role": "user", "content": said}]
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, str) or not isinstance(message.get("role"), str):
            raise TypeError(
                f"reset returned {type(said).__name__}, not a text, nor a list of messages with "
                "role and content"
            )
        if str.__len__(content) > MOST_BEGUN:
            raise ValueError(
                f"reset returned {str.__len__(content)} characters, more than {MOST_BEGUN}"
            )
    return said


def list_tools(world: object) -> list[object]:
    """The tools that it declares, as plain JSON."""
    tools = getattr(world, "tools", ())
    try:
        found = json.loads(json.dumps(list(tools), allow_nan=False))
        if isinstance(tools, list | tuple) and all(isinstance(tool, dict) for tool in found):
            return list(found)
    except (TypeError, ValueError, RecursionError):
        pass
    raise TypeError("tools must be a list of functions as OpenAI's API has them, in plain JSON")


def hear(said: Any, action: Any) -> str | None:
    """An observation, of a bounded length."""
    if not isinstance(said, str) and (said is not None or isinstance(action, dict)):
        wanted = "a text" if isinstance(action, dict) else "a text, or None at the end"
        raise TypeError(f"step returned {type(said).__name__}, not {wanted}")
    if said is None:
        return None
    if str.__len__(said) > MOST_HEARD:
        raise ValueError(f"step returned {str.__len__(said)} characters, more than {MOST_HEARD}")
    if not said and not isinstance(action, dict):
        raise ValueError("step returned an empty text: say something, or None at the end")
    return said


def call(function: Any, about: dict[str, Any]) -> Any:
    """Give the function the parameters that it names; an asynchronous one is run to its end.

    A class whose instances can be called is made one of.

    One that names `completions` scores a batch, as those of the library TRL do: it is given a
    batch of this one, every value in a list, and returns a list of one.
    """
    if inspect.isclass(function) and any("__call__" in vars(kind) for kind in function.__mro__):
        function = function()
    parameters = inspect.signature(function).parameters.values()
    wild = any(p.kind is p.VAR_KEYWORD for p in parameters)
    wanted = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    in_batch = any(p.name == "completions" for p in wanted) and "completions" not in about
    if in_batch:
        about = {"prompts": about.get("prompt"), "completions": about.get("completion"), **about}
        about = {name: [value] for name, value in about.items()}
    missing = [p.name for p in wanted if p.name not in about and p.default is p.empty]
    if missing:
        raise TypeError(f"there is no {missing[0]!r} to pass; there are {', '.join(about)}")
    first = [about[p.name] for p in wanted if p.kind is p.POSITIONAL_ONLY and p.name in about]
    named = about if wild else {p.name: about[p.name] for p in wanted if p.name in about}
    alone = {p.name for p in wanted if p.kind is p.POSITIONAL_ONLY}
    value = function(*first, **{k: v for k, v in named.items() if k not in alone})
    if inspect.iscoroutine(value):
        value = finish(value)
    if in_batch and isinstance(value, list | tuple) and len(value) == 1:
        return value[0]
    return value


def finish(running: Coroutine[object, None, object]) -> object:
    """What an asynchronous function returns that waits for nothing."""
    try:
        running.send(None)
    except StopIteration as end:
        return end.value
    except RuntimeError as error:
        if "event loop" not in str(error):
            raise
    raise RuntimeError("it waits for something, and there is nothing to wait for here")


def check(value: Any) -> float:
    """The reward; True is 1, and a scalar of numpy or torch is what it holds.

    Of a dictionary, as functions for verl return, it is the `score`.
    """
    if isinstance(value, dict) and "score" in value:
        value = value["score"]
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        value = value.item()
    if not isinstance(value, numbers.Real | decimal.Decimal):
        raise TypeError(f"it returned {type(value).__name__}, not a number from 0 to 1")
    reward = float(value)
    if not math.isfinite(reward) or not 0 <= reward <= 1:
        raise ValueError(f"it returned {reward:g}, not a number from 0 to 1")
    return reward
