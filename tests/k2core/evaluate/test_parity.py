"""One model behind an endpoint and in process: equal prompts, answers and scores, by item."""

import json
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from k2core.agents import Dialogue, rollout
from k2core.chat import SPECIAL_TOKENS, ChatCodec, ToolCallSyntaxError
from k2core.chat import tokens as t
from k2core.engines.protocol import Decoding, TalkingEngine
from k2core.engines.ray import serve
from k2core.engines.scripted import ScriptedEngine
from k2core.evaluate.answers import answer_rows
from k2core.evaluate.harness import Subject, run_suites
from k2core.evaluate.suites.families import _shown
from k2core.problems import held_out_problems
from k2core.problems.unseen import with_unseen_tools
from k2core.rewards import judge_dialogues
from k2core.sandbox import Sandbox
from k2core.serving.process import NAME, serving
from schemas.benchmarks import BenchmarkConfig, Benchmarks
from schemas.chat import Message, Problem, ToolCall, ToolSpec
from schemas.endpoint import Endpoint
from schemas.placement import Serving
from schemas.problems import ProblemsConfig
from tests.k2core.evaluate.answering import Body, Said, answering
from tests.k2core.release.conftest import SaveModel, save_model

__all__ = ["save_model"]

_DECLARED = re.compile(r'"name":"(\w+)","description":.*?"required":\[(.*?)\]')
_SAID = re.compile(r'"([^"]+)"|\b(\d+)\b')


class Rule:
    """A model by rule: what it says follows from the prompt's tokens alone."""

    def __init__(self, codec: ChatCodec) -> None:
        self._codec = codec
        self.prompts: list[tuple[int, ...]] = []

    def reply(self, prompt: Sequence[int], how: Decoding) -> list[int]:
        """Tries what is declared, repeats results; some turns are broken, some have no end."""
        self.prompts.append(tuple(prompt))
        draw = zlib.crc32(repr(list(prompt)).encode()) % 10
        if draw == 0:
            return self._codec.encode("la " * 400)[: how.max_tokens]
        begin, end = (self._token(name) for name in (t.CALLS_BEGIN, t.END))
        if draw == 1:
            return [begin, *self._codec.encode("functions."), end][: how.max_tokens]
        said = self._try(self._codec.decode(prompt)) if draw > 2 else _say("I cannot do that.")
        ids, mask = self._codec.encode_dialogue([said])
        return [i for i, learned in zip(ids, mask, strict=True) if learned][: how.max_tokens]

    def _token(self, name: str) -> int:
        (found,) = (i for i in self._codec.special_ids if self._codec.decode([i]) == name)
        return found

    def _try(self, text: str) -> Message:
        heard = re.search(r'\{"result":"?(\w+)', text.rpartition("## Return of ")[2])
        if heard:
            return _say(heard[1])
        asked = re.findall(r"<\|im_user\|>user<\|im_middle\|>(.*?)<\|im_end\|>", text, re.DOTALL)
        given = [word or int(number) for word, number in _SAID.findall(asked[-1])]
        made, tools = text.count("## Return of "), _DECLARED.findall(text)
        if not tools or not given:
            return _say(str(given[-1] if given else "What?"))
        name, required = tools[made % len(tools)]
        arguments = dict(zip(json.loads(f"[{required}]"), given, strict=False))
        call = ToolCall(id=f"functions.{name}:{made}", name=name, arguments=json.dumps(arguments))
        return Message(role="assistant", tool_calls=(call,))


def _say(text: str) -> Message:
    return Message(role="assistant", content=text)


def answer_as_a_server(codec: ChatCodec, rule: Rule, asked: Body) -> Said:
    """A chat server about the rule: template, continuation, parser."""
    messages = [_message_of(message) for message in asked["messages"]]
    tools = [ToolSpec.model_validate(tool["function"]) for tool in asked.get("tools", ())]
    ids = rule.reply(codec.encode_prompt(messages, tools), Decoding(asked["max_tokens"]))
    stop = "stop" if ids[-1] in codec.stop_token_ids else "length"
    try:
        said = codec.parse(ids, sum(len(message.tool_calls) for message in messages))
    except ToolCallSyntaxError:  # what stands before it is the text
        first = next(place for place, token in enumerate(ids) if token in codec.special_ids)
        said = _say(codec.decode(ids[:first]))
    calls = tuple((call.name, call.arguments) for call in said.tool_calls)
    return Said(said.content, calls, stop=stop, num_tokens=len(ids))


def _message_of(sent: Body) -> Message:
    calls = tuple(
        ToolCall(id=c["id"], name=c["function"]["name"], arguments=c["function"]["arguments"])
        for c in sent.get("tool_calls", ())
    )
    about = {key: sent[key] for key in ("tool_call_id", "name") if key in sent}
    return Message(role=sent["role"], content=sent["content"] or "", tool_calls=calls, **about)


class Found(NamedTuple):
    """Of an item."""

    passed: bool
    reason: str
    answer: str
    num_tokens: int


def ask_over_http(
    url: str, model: str, config: BenchmarkConfig, sandbox: Sandbox, out: Path
) -> tuple[dict[str, Found], Benchmarks]:
    endpoint = Endpoint(url=url, model=model, temperature=0)
    scores = run_suites(config, Subject("m", "", endpoint), sandbox, out)
    rows = pl.read_parquet(out / "items.parquet").iter_rows(named=True)
    found = {r["item"]: Found(*(r[field] for field in Found._fields)) for r in rows}
    return found, scores


def problems_of(items: Sequence[str]) -> dict[str, Problem]:
    plain = {problem.problem_id: problem for problem in held_out_problems(ProblemsConfig())}
    found = {}
    for item in items:
        name, _, unseen = item.partition(" ")
        found[item] = with_unseen_tools(plain[name]).problem if unseen else plain[name]
    return found


def ask_in_process(
    problems: dict[str, Problem], engine: TalkingEngine, codec: ChatCodec, *, enforced: bool
) -> dict[str, Dialogue]:
    dialogues = rollout(
        list(problems.values()),
        engine,
        codec,
        seeds=[0] * len(problems),
        temperature=0.0,
        max_context=4096,
        enforced=enforced,
    )
    return dict(zip(problems, dialogues, strict=True))


def found_of(dialogues: dict[str, Dialogue], sandbox: Sandbox) -> dict[str, Found]:
    found = {}
    for item, dialogue in dialogues.items():
        (row,) = answer_rows("m", [dialogue], judge_dialogues([dialogue], sandbox))
        shown = [_shown(m.role, m.content, m.tool_calls) for m in dialogue.messages]
        seen = [message.text.partition(t.CALLS_BEGIN)[0] for message in shown]
        answer = "\n".join(f"{m.role}: {text}" for m, text in zip(shown, seen, strict=True))
        tokens = dialogue.num_tokens
        found[item] = Found(bool(row["passed"]), str(row["reason"]), answer, tokens)
    return found


def test_an_endpoint_and_the_process_ask_answer_and_judge_alike(
    codec: ChatCodec, tmp_path: Path
) -> None:
    """A broken section, which a server's clients never see, is all that tells them apart."""
    here, there = Rule(codec), Rule(codec)
    config = BenchmarkConfig(suites=("families",), limit=2)
    with Sandbox.start() as sandbox:
        with answering(lambda asked: answer_as_a_server(codec, there, asked)) as (url, _):
            over_http, scores = ask_over_http(url, "m", config, sandbox, tmp_path)
        problems = problems_of(list(over_http))
        dialogues = ask_in_process(problems, ScriptedEngine(here.reply), codec, enforced=False)
        in_process = found_of(dialogues, sandbox)
    broken = {item for item, d in dialogues.items() if d.stop_reason == "malformed"}
    whole = set(dialogues) - broken
    assert {item: over_http[item] for item in whole} == {i: in_process[i] for i in whole}
    assert not any(in_process[item].passed for item in broken)
    more = Counter(there.prompts) - Counter(here.prompts)
    assert not Counter(here.prompts) - Counter(there.prompts)
    assert 0 < sum(more.values()) <= 2 * len(broken)  # who ended here is spoken to again there
    stops = Counter(dialogue.stop_reason for dialogue in dialogues.values())
    assert min(stops[reason] for reason in ("answered", "token_budget", "malformed")) > 2, stops
    assert 5 < sum(over_http[item].passed for item in whole) < len(whole) - 5
    assert scores.suites["families"].rate.passed == sum(f.passed for f in over_http.values())


_CLOSING = {'"': 5.0, "}": 4.0, ",": 4.0}


def lean_to_short_calls(folder: Path, codec: ChatCodec) -> None:
    """Draw random weights to what begins and what ends a call: a channel that is always large."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    drawn = {SPECIAL_TOKENS.index(name): 6.0 for name in (t.CALLS_BEGIN, t.CALLS_END)}
    drawn |= {codec.encode(text)[0]: strength for text, strength in _CLOSING.items()}
    weights["model.embed_tokens.weight"][:, 0] = 8.0
    weights["lm_head.weight"][:, 0] = 0.0
    for token, strength in drawn.items():
        weights["lm_head.weight"][token, 0] = strength
    save_file(weights, path, metadata={"format": "pt"})


@pytest.mark.slow
def test_a_server_and_an_engine_say_the_same(tmp_path: Path, save_model: SaveModel) -> None:
    """Random weights drawn to calls, greedily and under the enforcer: vLLM here and behind HTTP."""
    folder = save_model(tmp_path / "model", 1)
    codec = ChatCodec(folder)
    lean_to_short_calls(folder, codec)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_position_embeddings": 4096}))
    config = BenchmarkConfig(suites=("families",), limit=2, max_connections=8)
    with Sandbox.start() as sandbox:
        with serving(folder, tmp_path / "server.log", 8) as url:
            over_http, _ = ask_over_http(url, NAME, config, sandbox, tmp_path / "out")
        problems = problems_of(list(over_http))
        with serve(folder, Serving(num_engines=1), max_model_len=4096, max_num_seqs=8) as engine:
            dialogues = ask_in_process(problems, engine, codec, enforced=True)
        in_process = found_of(dialogues, sandbox)
    assert over_http == in_process
    assert sum(dialogue.num_calls for dialogue in dialogues.values()) > 50
