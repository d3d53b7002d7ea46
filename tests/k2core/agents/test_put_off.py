"""Dialogues in parts: the same whatever the parts, each token under the weights that said it."""

from collections.abc import Sequence

import pytest

from k2core.agents import Dialogue, How, Session, Start, Table, play_starts
from k2core.chat import ChatCodec
from k2core.engines.protocol import Decoding
from k2core.engines.scripted import ScriptedEngine
from k2core.environments import ENVIRONMENTS, Environment
from k2core.problems import Posed
from schemas.chat import Message, Problem
from tests.k2core.agents.test_rollout import call, pose, required, say


def turn_ids(codec: ChatCodec, message: Message) -> list[int]:
    return [i for i, m in zip(*codec.encode_dialogue([message]), strict=True) if m]


class Speaker:
    """Says two turns, and goes on wherever a prompt ends within one."""

    def __init__(self, codec: ChatCodec, posed: Posed) -> None:
        problem, content = posed
        first, second = required(problem)
        arguments = f'{{"{first}": {content["a"]}, "{second}": {content["b"]}}}'
        turns = [call(problem.tools[0].name, arguments, 0), say(str(content["a"] + content["b"]))]
        self.turns = [turn_ids(codec, turn) for turn in turns]
        self.asked: list[Decoding] = []

    def __call__(self, prompt: list[int], how: Decoding) -> list[int]:
        self.asked.append(how)
        for turn in reversed(self.turns):
            for said in range(len(turn) - 1, 0, -1):
                if prompt[-said:] == turn[:said]:
                    return turn[said:]
        return (
            self.turns[1]
            if self.turns[0][-1] in prompt[-200:] and self._heard(prompt)
            else (self.turns[0])
        )

    def _heard(self, prompt: list[int]) -> bool:
        first = self.turns[0]
        return any(prompt[i : i + len(first)] == first for i in range(len(prompt)))


def table(codec: ChatCodec, weights: str) -> Table:
    return Table(codec, Session, 4096, How(1.0, top_p=1.0, enforced=False), weights)


def play_in_parts(
    codec: ChatCodec, posed: Posed, most: Sequence[int | None]
) -> tuple[list[Dialogue | Start], Speaker]:
    """The dialogue after each part of so many tokens."""
    speaker = Speaker(codec, posed)
    found: list[Dialogue | Start] = [Start(posed.problem, 5)]
    for number, tokens in enumerate(most):
        start = found[-1]
        assert isinstance(start, Start)
        how = table(codec, f"sha256:{number}")
        found += play_starts([start], ScriptedEngine(speaker), how, most_tokens=tokens)
    return found[1:], speaker


@pytest.mark.parametrize("first", [1, 7, 10_000])
def test_parts_make_the_same_dialogue(codec: ChatCodec, first: int) -> None:
    posed = pose("sum_with_tool")
    (whole,), speaker = play_in_parts(codec, posed, [None])
    assert isinstance(whole, Dialogue)
    assert whole.stop_reason == "answered"
    assert whole.num_stale == 0
    cuts = [first, 2, None] if first < 100 else [len(speaker.turns[0]), None]
    found, _ = play_in_parts(codec, posed, cuts)
    *begun, last = found
    assert isinstance(last, Dialogue)
    assert (last.token_ids, last.logprobs) == (whole.token_ids, whole.logprobs)
    assert (last.messages, last.state, last.num_calls) == (whole.messages, whole.state, 1)
    stale = sum(cut for cut in cuts if cut)
    assert last.num_stale == stale
    mine = [t for t, own in zip(last.token_ids, last.loss_mask, strict=True) if own]
    assert mine == [t for turn in speaker.turns for t in turn][stale:]
    assert all(isinstance(start, Start) for start in begun)


def test_the_budget_is_of_all_parts(codec: ChatCodec) -> None:
    """12 tokens in all: 5 in the first part, at most 7 in the second."""
    problem, content = pose("sum_with_tool")
    posed = Posed(problem.model_copy(update={"max_tokens": 12}), content)
    (_, last), speaker = play_in_parts(codec, posed, [5, None])
    assert isinstance(last, Dialogue)
    assert (last.stop_reason, last.num_tokens) == ("token_budget", 12)
    assert [how.max_tokens for how in speaker.asked] == [12, 7]
    assert speaker.asked[0].seed != speaker.asked[1].seed


def test_another_world_at_the_replay_begins_anew(
    codec: ChatCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its result is not what was heard: with what was said to that, nothing can be done."""
    posed = pose("sum_with_tool")
    speaker = Speaker(codec, posed)
    opened, worlds = ENVIRONMENTS[posed.problem.environment], list[int]()

    class Moody:
        def __init__(self, problem: Problem) -> None:
            self._inner = opened(problem)
            self.state = self._inner.state
            worlds.append(len(worlds))
            self._word = min(worlds[-1], 1)

        def call(self, name: str, arguments: dict[str, object]) -> str:
            return f'{{"result": "world {self._word}"}}'

    def moody(problem: Problem) -> Environment:
        return Moody(problem)

    monkeypatch.setitem(ENVIRONMENTS, posed.problem.environment, moody)
    most = len(speaker.turns[0]) + 1
    found, _ = play_in_parts(codec, posed, [most, None])
    assert isinstance(found[1], Dialogue)
    assert found[1].num_stale == 0  # from its beginning, with another seed
    assert worlds == [0, 1, 2]
    heard = [message.content for message in found[1].messages if message.role == "tool"]
    assert heard == ['{"result": "world 1"}']


def test_what_repeats_itself_is_cut_off(codec: ChatCodec) -> None:
    """The engine says when; the dialogue ends as one whose budget is spent."""
    problem = pose("sum_mental").problem
    engine = ScriptedEngine(lambda *_: [*range(20, 26), *[7] * 60])
    for times, tokens, reason in ((0, problem.max_tokens, "token_budget"), (4, 10, "repetition")):
        how = How(1.0, top_p=1.0, enforced=False, max_repeats=times)
        played = Table(codec, Session, 4096, how, "sha256:0")
        (found,) = play_starts([Start(problem, 1)], engine, played)
        assert isinstance(found, Dialogue)
        assert found.over_budget
        assert (found.num_tokens, found.stop_reason) == (tokens, reason)
