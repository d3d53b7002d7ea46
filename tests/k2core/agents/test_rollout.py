"""The loop: any engine plays dialogues to their end, and every sampled token is kept as it was."""

import threading
from collections.abc import Callable
from typing import ClassVar

import pytest
from pydantic import JsonValue

from k2core.agents import Dialogue, rollout
from k2core.chat import ChatCodec, validate_dialogue
from k2core.engines.protocol import Decoding
from k2core.engines.scripted import ScriptedEngine
from k2core.environments import ENVIRONMENTS, Environment
from k2core.problems import FAMILIES, Call, Posed, pose_training
from k2core.rewards import Outcome, judge_dialogues, verify
from schemas.chat import Message, Problem, ToolCall
from schemas.problems import ProblemsConfig

Turns = list[Message | str]


def pose(family: str, index: int = 0, two_turn_frac: float = 0.0) -> Posed:
    config = ProblemsConfig(families={family: 1.0}, two_turn_frac=two_turn_frac)
    return pose_training(config, index)


def required(problem: Problem, tool: int = 0) -> list[str]:
    """The arguments that a call of this tool must have."""
    named = problem.tools[tool].parameters["required"]
    assert isinstance(named, list)
    return [str(name) for name in named]


def call(name: str, arguments: str, index: int) -> Message:
    made = ToolCall(id=f"functions.{name}:{index}", name=name, arguments=arguments)
    return Message(role="assistant", tool_calls=(made,))


def say(text: str) -> Message:
    return Message(role="assistant", content=text)


def engine_of(codec: ChatCodec, turns: Callable[[int, int], Message | str]) -> ScriptedEngine:
    """Says `turns(dialogue, turn)`; dialogues are told apart by their order in each round."""
    prompts: list[list[int]] = []

    def reply(prompt: list[int], _: Decoding) -> list[int]:
        turn = sum(prompt[: len(p)] == p for p in prompts)
        prompts.append(list(prompt))
        message = turns(0, turn)
        if isinstance(message, str):
            return codec.encode(message)
        return [i for i, m in zip(*codec.encode_dialogue([message]), strict=True) if m]

    return ScriptedEngine(reply)


def play(problem: Problem, codec: ChatCodec, turns: Turns, max_context: int = 1024) -> Dialogue:
    engine = engine_of(codec, lambda _, turn: turns[turn])
    return rollout([problem], engine, codec, seeds=[0], max_context=max_context)[0]


def test_a_call_is_executed_and_its_result_goes_on(codec: ChatCodec) -> None:
    problem, content = pose("sum_with_tool")
    a, b = required(problem)
    name, total = problem.tools[0].name, content["a"] + content["b"]
    arguments = f'{{"{a}":{content["a"]},"{b}":{content["b"]}}}'
    dialogue = play(problem, codec, [call(name, arguments, 0), say(str(total))])
    assert dialogue.stop_reason == "answered"
    assert dialogue.num_calls == 1
    assert [m.role for m in dialogue.messages] == ["user", "assistant", "tool", "assistant"]
    assert dialogue.messages[2].content == f'{{"result":{total}}}'
    validate_dialogue(dialogue.messages)
    assert verify(problem, Outcome(dialogue.messages, dialogue.state)).reward == 1.0


def test_tokens_are_those_that_were_sampled(codec: ChatCodec) -> None:
    problem, content = pose("sum_with_tool")
    a, b = required(problem)
    # Spaces that no expert writes: a second tokenization of parsed arguments would lose them.
    arguments = f'{{ "{a}" :{content["a"]},  "{b}":{content["b"]}}}'
    turns: Turns = [call(problem.tools[0].name, arguments, 0), say(" x 7 ")]
    dialogue = play(problem, codec, turns)
    encoded = codec.encode_dialogue(dialogue.messages, problem.tools)
    assert dialogue.token_ids == encoded.ids
    assert dialogue.policy_mask == encoded.loss_mask
    assert dialogue.num_tokens == sum(encoded.loss_mask)
    assert len(dialogue.logprobs) == len(dialogue.token_ids)
    assert all(
        (p < 0) == bool(m) for p, m in zip(dialogue.logprobs, encoded.loss_mask, strict=True)
    )


def test_a_user_says_the_goal_when_asked(codec: ChatCodec) -> None:
    problem, content = pose("compare", two_turn_frac=1.0)
    answer = str(max(content["a"], content["b"]))
    dialogue = play(problem, codec, [say("What do you need?"), say(answer)])
    assert [m.role for m in dialogue.messages] == ["user", "assistant", "user", "assistant"]
    assert dialogue.messages[2].content == problem.follow_ups[0]
    assert verify(problem, Outcome(dialogue.messages, dialogue.state)).reward == 1.0


def test_several_calls_in_one_turn_are_all_answered(codec: ChatCodec) -> None:
    problem, _ = pose("lookup")
    calls = tuple(
        ToolCall(id=f"functions.{tool.name}:{i}", name=tool.name, arguments=f'{{"{arg}":"x"}}')
        for i, tool in enumerate(problem.tools)
        for arg in required(problem, i)
    )
    both = Message(role="assistant", tool_calls=calls)
    dialogue = play(problem, codec, [both, say("I do not know.")])
    assert dialogue.num_calls == 2
    assert [m.name for m in dialogue.messages if m.role == "tool"] == [c.name for c in calls]
    validate_dialogue(dialogue.messages)


def test_the_limit_of_turns_ends_a_dialogue(codec: ChatCodec) -> None:
    problem, _ = pose("sum_with_tool")
    problem = problem.model_copy(update={"max_tokens": 10_000})
    turns: Turns = [call("nothing", "{}", i) for i in range(problem.max_turns)]
    dialogue = play(problem, codec, turns)
    assert dialogue.stop_reason == "turn_limit"
    assert dialogue.over_budget
    assert dialogue.num_calls == problem.max_turns


def test_the_budget_of_tokens_ends_a_dialogue(codec: ChatCodec) -> None:
    problem, _ = pose("sum_mental")
    dialogue = play(problem, codec, [say("word " * 100)])
    assert dialogue.stop_reason == "token_budget"
    assert dialogue.num_tokens == problem.max_tokens
    assert dialogue.over_budget


def test_the_budget_counts_all_turns(codec: ChatCodec) -> None:
    problem, _ = pose("sum_with_tool")
    first = call("nothing", "{}", 0)
    spent = sum(codec.encode_dialogue([first]).loss_mask)
    problem = problem.model_copy(update={"max_tokens": spent + 3})
    dialogue = play(problem, codec, [first, say("1 2 3 4 5 6 7 8 9")])
    assert dialogue.stop_reason == "token_budget"
    assert dialogue.num_tokens == spent + 3


def test_the_context_ends_a_dialogue(codec: ChatCodec) -> None:
    problem, _ = pose("sum_mental")
    problem = problem.model_copy(update={"max_tokens": 500})
    room = len(codec.encode_prompt(problem.messages)) + 7
    dialogue = play(problem, codec, [say("word " * 100)], max_context=room)
    assert dialogue.stop_reason == "context"
    assert len(dialogue.token_ids) == room
    with pytest.raises(ValueError, match=r"prompt has \d+ tokens, the context only 8"):
        play(problem, codec, ["x"], max_context=8)


@pytest.mark.parametrize(
    "text",
    [
        "<|tool_calls_section_begin|><|im_end|>",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.add:4"
        "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|><|im_end|>",
        "hm<|tool_call_end|><|im_end|>",
    ],
)
def test_a_broken_call_ends_a_dialogue_and_is_kept(codec: ChatCodec, text: str) -> None:
    from tokenizers import AddedToken  # noqa: F401  (special tokens are encoded one by one)

    problem, _ = pose("sum_with_tool")
    ids = special_ids(codec, text)
    engine = ScriptedEngine(lambda *_: ids)
    dialogue = rollout([problem], engine, codec, seeds=[0])[0]
    assert dialogue.stop_reason == "malformed"
    assert dialogue.num_calls == 0
    assert dialogue.messages[-1].content + "<|im_end|>" == text
    assert verify(problem, Outcome(dialogue.messages, dialogue.state)).reward == 0.0


def special_ids(codec: ChatCodec, text: str) -> list[int]:
    import re

    parts = [p for p in re.split(r"(<\|\w+\|>)", text) if p]
    special = codec._special
    return [i for p in parts for i in ([special[p]] if p in special else codec.encode(p))]


def test_order_seeds_and_weights_are_kept(codec: ChatCodec) -> None:
    problems = [pose("sum_mental", i).problem for i in range(3)]
    asked: list[Decoding] = []

    def reply(_: list[int], how: Decoding) -> list[int]:
        asked.append(how)
        return [*codec.encode("1"), codec.stop_token_ids[0]]

    engine = ScriptedEngine(reply)
    rounds: list[tuple[int, int]] = []
    dialogues = rollout(
        problems,
        engine,
        codec,
        seeds=[5, 5, 6],
        temperature=0.7,
        on_turn=lambda ended, total: rounds.append((ended, total)),
    )
    assert [d.problem for d in dialogues] == problems
    assert {d.weights for d in dialogues} == {engine.weights}
    assert asked[0].seed == asked[1].seed != asked[2].seed
    assert {how.temperature for how in asked} == {0.7}
    assert rounds[-1] == (3, 3)


def test_finished_dialogues_do_not_hold_up_others(codec: ChatCodec) -> None:
    problems = [pose("sum_mental").problem, pose("sum_with_tool").problem]
    first = call("nothing", "{}", 0)
    ids = [i for i, m in zip(*codec.encode_dialogue([first]), strict=True) if m]

    def reply(prompt: list[int], _: Decoding) -> list[int]:
        text = codec.decode(prompt)
        calls = "tool_declare" in text and "Return of" not in text
        return ids if calls else [*codec.encode("7"), codec.stop_token_ids[0]]

    engine = ScriptedEngine(reply)
    done, later = rollout(problems, engine, codec, seeds=[0, 1])
    assert (done.num_calls, later.num_calls) == (0, 1)
    assert len(engine.prompts) == 3
    # The second prompt of a dialogue begins with all that came before it.
    begun = next(prompt for prompt in engine.prompts if "tool_declare" in codec.decode(prompt))
    assert engine.prompts[2][: len(begun) + len(ids)] == begun + ids


def test_an_expert_and_an_engine_go_through_the_same_loop(codec: ChatCodec) -> None:
    posed = pose("lookup_chain")
    script = FAMILIES["lookup_chain"].act(posed, shortcut=False)
    act = next(script)
    assert isinstance(act, Call)
    import json

    first = call(act.name, json.dumps(act.arguments, separators=(",", ":")), 0)
    dialogue = play(posed.problem, codec, [first, say("?")])
    head = posed.content["heads"][posed.content["team"]]
    assert json.loads(dialogue.messages[2].content) == {"result": head}


def test_a_dialogue_whose_environment_breaks_is_played_again(
    codec: ChatCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, content = pose("sum_with_tool")
    left = [OSError("gone")] * 2
    opened = ENVIRONMENTS[problem.environment]

    def fragile(problem: Problem) -> Environment:
        if left:
            raise left.pop()
        return opened(problem)

    monkeypatch.setitem(ENVIRONMENTS, problem.environment, fragile)
    total = str(content["a"] + content["b"])
    assert play(problem, codec, [say(total)]).stop_reason == "answered"
    left += [OSError("gone")] * 3
    broken = play(problem, codec, [say(total)])
    assert (broken.stop_reason, broken.fault) == ("faulty", "OSError: gone")
    assert judge_dialogues([broken])[0].is_faulty


def test_an_environment_that_never_answers_costs_its_dialogue_alone(
    codec: ChatCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it hangs at its opening or in a call."""
    problem, content = pose("sum_with_tool")
    silent, deaf = (problem.model_copy(update={"environment": name}) for name in ("silent", "deaf"))
    first = call("nothing", "{}", 0)
    ids = [i for i, m in zip(*codec.encode_dialogue([first]), strict=True) if m]
    gate = threading.Event()

    class Deaf:
        state: ClassVar[dict[str, JsonValue]] = {}

        def call(self, name: str, arguments: dict[str, JsonValue]) -> str:
            gate.wait()
            return ""

    def hang(_: Problem) -> Environment:
        gate.wait()
        return Deaf()

    monkeypatch.setitem(ENVIRONMENTS, "silent", hang)
    monkeypatch.setitem(ENVIRONMENTS, "deaf", lambda _: Deaf())
    total = [*codec.encode(str(content["a"] + content["b"])), codec.stop_token_ids[0]]
    engine = ScriptedEngine(lambda prompt, _: total if "Return of" in codec.decode(prompt) else ids)
    asked = [silent, problem, deaf]
    found = rollout(asked, engine, codec, seeds=[0, 1, 2], max_wait_s=0.3)
    gate.set()
    assert [d.stop_reason for d in found] == ["faulty", "answered", "faulty"]
    assert found[0].fault == found[2].fault == "TimeoutError: no answer within 0.3 s"
