"""The iterations with a toy policy: they improve it, resume exactly, and check every receipt."""

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import polars as pl
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from k2core.agents import Dialogue, Segment
from k2core.chat import EncodedDialogue
from k2core.engines.learner import Fetch, Peer, Weights, Writing
from k2core.engines.megatron.batch import Batch, NonFiniteError, Objective, StepStats, Totals
from k2core.engines.protocol import Usage
from k2core.model.digest import tensors_digest
from k2core.reporting import Silent
from k2core.rewards import Outcome, Verdict, verify
from k2core.rl.history import History
from k2core.rl.loop import run_iterations
from k2core.rl.objectives.registry import load_objective
from k2core.rl.practice import Practice
from k2core.rl.samples import Sample
from k2core.rl.state import IterationStates
from k2core.store import Store, Workspace
from schemas.chat import Message, Problem
from schemas.objective import ObjectiveConfig
from schemas.rl import RlConfig
from tests.k2core.held import HeldWeights, nobody_else

T = TypeVar("T")

NUM_ANSWERS = 4
POOL = [
    Problem(
        problem_id=f"{family}/train/{number}",
        family=family,
        group="math",
        messages=(Message(role="user", content=str(number)),),
        verifier="integer_answer",
        expected={"answer": number % NUM_ANSWERS},
    )
    for number, family in enumerate(["even", "odd"] * 4)
]
CONFIG = RlConfig(
    num_iterations=9,
    decay_iterations=9,
    num_problems=8,
    problems_per_iteration=6,
    samples_per_problem=8,
    objective=ObjectiveConfig(tau=0.05),
    ptx_weight=0.0,
    validation_every=3,
)

K2 = load_objective(CONFIG.objective)


class ToyLearner:
    """A table: the first token of a row is the question, the second the answer."""

    def __init__(self) -> None:
        self.table = torch.zeros(NUM_ANSWERS, NUM_ANSWERS, requires_grad=True)

    def step(
        self,
        batch: Batch,
        lr: float,
        objective: Objective | None = None,
        max_loss: float | None = None,
    ) -> StepStats:
        assert objective is not None
        batch = batch._replace(totals=Totals(float(batch.loss_mask.sum()), len(batch.tokens)))
        value = objective(self._logprobs(batch), batch)
        (gradient,) = torch.autograd.grad(value.loss, self.table)
        if not torch.isfinite(gradient).all():
            raise NonFiniteError("gradient norm nan")
        self.table = (self.table - 60.0 * gradient).detach().requires_grad_()
        metrics = dict(value.metrics)
        return StepStats(float(value.loss.detach()), 0.0, [1.0], [], 0, metrics)

    def logprobs(self, batch: Batch) -> Tensor:
        return self._logprobs(batch).detach()

    def export_checkpoint(self, aside: Path, writing: Writing) -> None:
        with writing("table.pt") as path:
            torch.save(self.table.detach(), path)

    def send_weights(self, send: Callable[[Weights], T], peer: Peer) -> T:
        assert peer is nobody_else
        return send(HeldWeights({"table": self.table.detach()}))

    def save(self, writing: Writing) -> None:
        with writing("table.pt") as path:
            torch.save(self.table, path)

    def load(self, fetch: Fetch) -> None:
        self.table = torch.load(fetch("table.pt")).detach().requires_grad_()

    def _logprobs(self, batch: Batch) -> Tensor:
        heat = batch.extra["temperature"][:, None, None]
        logits = self.table[batch.tokens] / heat
        return logits.log_softmax(-1).gather(2, batch.labels[..., None])[..., 0]


@dataclass
class ToyEngine:
    """Serves the table."""

    tensors: dict[str, Tensor] = field(default_factory=lambda: {"table": torch.zeros(4, 4)})
    awake: bool = True
    calls: int = 0
    fail_at: int = 10**9

    @property
    def weights(self) -> str:
        return tensors_digest(self.tensors)

    @property
    def peer(self) -> Peer:
        return nobody_else

    def sleep(self) -> None:
        self.awake = False

    def receive_weights(self, weights: Weights) -> str:
        self.tensors = {name: tensor.clone() for name, tensor in weights.own()}
        self.awake = True
        return self.weights

    def play(
        self, problems: Sequence[Problem], seeds: Sequence[int], temperature: float
    ) -> list[Sample]:
        assert self.awake
        self.calls += 1
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        samples = []
        for problem, seed in zip(problems, seeds, strict=True):
            question = int(problem.messages[0].content) % NUM_ANSWERS
            logprobs = (self.tensors["table"][question] / temperature).log_softmax(-1)
            answer = random.Random(seed).choices(range(NUM_ANSWERS), logprobs.exp().tolist())[0]
            messages = (*problem.messages, Message(role="assistant", content=str(answer)))
            written = Segment([answer], [float(logprobs[answer])])
            segments = (Segment([question], None), written)
            samples.append(
                Sample(Dialogue(problem, messages, segments, {}, "answered", 0, self.weights))
            )
        return samples


def judge(samples: Sequence[Sample]) -> list[Verdict]:
    return [verify(s.problem, Outcome(s.dialogue.messages)) for s in samples]


def practice(engine: ToyEngine, config: RlConfig = CONFIG, ranks: int = 1) -> Practice:
    learner = ToyLearner()
    return Practice(config, K2, POOL, POOL, [], learner, engine, engine.play, judge, 0, ranks)


def workspace(root: Path, key: str = "key") -> Workspace:
    return Store(root).workspace(key, Silent(), family="family")


def logged(root: Path, key: str = "key") -> list[bytes]:
    """Each iteration's rollouts."""
    states = IterationStates(workspace(root, key).states, root / "aside")
    return [path.read_bytes() for path in states.rollouts]


def test_reward_rises_and_gap_to_the_engine_is_nothing(tmp_path: Path) -> None:
    history = run_iterations(practice(ToyEngine()), workspace(tmp_path))
    first, last = history.iterations[0], history.iterations[-1]
    assert first.reward < 0.5 < 0.8 < last.reward
    assert first.temperature == 1.0
    assert last.temperature == CONFIG.final_temperature
    assert last.lr == pytest.approx(CONFIG.optim.lr * CONFIG.final_lr_frac)
    assert all(i.parity < 1e-6 for i in history.iterations)
    assert {(i.lag_mean, i.lag_max) for i in history.iterations} == {(0.0, 0)}
    assert set(first.rewards) == {"even", "odd"}
    assert first.length == 1.0


def test_killed_run_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    whole = run_iterations(practice(ToyEngine()), workspace(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run_iterations(practice(ToyEngine(fail_at=4)), workspace(tmp_path / "killed"))
    states = workspace(tmp_path / "killed").states
    for name in ("iteration-00003/history.json", "rollouts/00003.parquet"):
        states.put(name, b"torn in the middle of a save")
    resumed = ToyEngine()
    assert run_iterations(practice(resumed), workspace(tmp_path / "killed")) == whole
    assert resumed.calls == 7 + 3  # iterations, and examinations
    assert logged(tmp_path / "killed") == logged(tmp_path / "whole")
    assert len(logged(tmp_path / "whole")) == CONFIG.num_iterations


def test_another_machine_goes_on_from_the_bucket(tmp_path: Path, bucket: str) -> None:
    """The first one's disk is gone, and with it all that was not in the store."""

    def on(disk: str) -> Workspace:
        return Store(bucket, tmp_path / disk).workspace("work")

    whole = run_iterations(practice(ToyEngine()), workspace(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run_iterations(practice(ToyEngine(fail_at=4)), on("first"))
    shutil.rmtree(tmp_path / "first")
    second = on("second")
    assert run_iterations(practice(ToyEngine()), second) == whole
    states = IterationStates(second.states, tmp_path / "aside")
    assert [path.read_bytes() for path in states.rollouts] == logged(tmp_path / "whole")
    assert states.copy_best(tmp_path / "policy")
    assert [path.name for path in (tmp_path / "policy").iterdir()] == ["table.pt"]
    assert len(second.states.sealed("iteration-")) == len(second.states.sealed("best-")) == 1


def test_more_iterations_go_on_from_a_finished_run_to_the_same_bytes(tmp_path: Path) -> None:
    longer = CONFIG.model_copy(update={"num_iterations": 13})
    whole = run_iterations(practice(ToyEngine(), longer), workspace(tmp_path / "whole"))
    at = tmp_path / "grown"
    run_iterations(practice(ToyEngine()), workspace(at, "short"))
    Store(at).clear("short")  # as a finished stage does
    grown = ToyEngine()
    assert run_iterations(practice(grown, longer), workspace(at, "long")) == whole
    assert grown.calls == 4 + 3  # iterations 10 to 13, and examinations
    assert [i.lr for i in whole.iterations[8:]] == [whole.iterations[8].lr] * 5
    assert logged(tmp_path / "whole") == logged(at, "long")
    assert len(logged(at, "long")) == 13
    assert Store(at).states("family").sealed() == ["iterations-00000013"]
    Store(at).clear("long")
    again = ToyEngine()
    assert (
        run_iterations(practice(again), workspace(at, "short")).iterations == (whole.iterations[:9])
    )
    assert again.calls == 9 + 4  # fewer, or as many, begin anew
    assert Store(at).states("family").sealed() == ["iterations-00000013"]


def test_rollouts_name_the_weights_that_served_them(tmp_path: Path) -> None:
    run_iterations(practice(ToyEngine()), workspace(tmp_path))
    tables = [pl.read_parquet(rows) for rows in logged(tmp_path)]
    digests = [table["weights"].unique().to_list() for table in tables]
    assert digests[0] == [tensors_digest({"table": torch.zeros(4, 4)})]
    assert len({digest for (digest,) in digests}) == CONFIG.num_iterations
    assert pl.concat(tables)["rollout_id"].is_unique().all()
    sums = tables[0].group_by("problem_id").agg(pl.col("advantage").sum())["advantage"]
    assert sums.to_list() == pytest.approx([0.0] * len(sums), abs=1e-9)


def test_old_logprobs_by_the_trainer_and_several_updates(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"old_logprobs": "trainer", "updates_per_iteration": 2})
    engine, ours = practice(ToyEngine(), config), workspace(tmp_path / "a")
    history = run_iterations(engine, ours)
    assert history.iterations[-1].reward > 0.8
    assert all(i.parity < 1e-6 for i in history.iterations)
    assert any(i.updates.get("kl", 0.0) > 0 for i in history.iterations)


def test_ptx_dialogues_join_every_update(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watching(ToyLearner):
        def step(
            self,
            batch: Batch,
            lr: float,
            objective: Objective | None = None,
            max_loss: float | None = None,
        ) -> StepStats:
            seen.append(int((batch.extra["text_share"] > 0).sum()))
            return super().step(batch, lr, objective)

    config = CONFIG.model_copy(update={"ptx_weight": 0.1, "ptx_dialogues": 2, "num_iterations": 1})
    engine = ToyEngine()
    texts = [EncodedDialogue([0, 0], [0, 1])] * 3
    run_iterations(
        Practice(config, K2, POOL, POOL, texts, Watching(), engine, engine.play, judge, 0, 2),
        workspace(tmp_path),
    )
    assert seen == [2]


class DivergingLearner(ToyLearner):
    """Whose first update is not finite."""

    def step(
        self,
        batch: Batch,
        lr: float,
        objective: Objective | None = None,
        max_loss: float | None = None,
    ) -> StepStats:
        raise NonFiniteError("loss nan, gradient norm nan")


def test_non_finite_loss_names_the_iteration(tmp_path: Path) -> None:
    engine = ToyEngine()
    broken = Practice(
        CONFIG, K2, POOL, POOL, [], DivergingLearner(), engine, engine.play, judge, 0, 1
    )
    with pytest.raises(
        FloatingPointError, match=r"iteration 1 of 9: loss nan.*lower rl\.optim\.lr"
    ):
        run_iterations(broken, workspace(tmp_path))


def test_figures_are_drawn_even_where_a_family_misses_an_iteration() -> None:
    from k2core.rl.history import Iteration, draw_length, draw_rewards

    plain = {
        "reward": 0.5,
        "pass_rate": 0.5,
        "length": 3,
        "over_budget_frac": 0,
        "learnable_frac": 1,
        "temperature": 1,
        "lr": 1e-3,
    }
    history = History()
    for families in ({"a": 0.5}, {"b": 0.25}):
        history = history.add(Iteration.model_validate({"rewards": families, **plain}))
    axes = draw_rewards(history).axes[0]
    assert [line.get_label() for line in axes.lines] == ["a", "b", "all"]
    assert len(draw_length(history).axes) == 2


class Recording(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.curves: list[Mapping[str, float]] = []
        self.notes: list[str] = []
        self.tables: dict[str, Sequence[Mapping[str, object]]] = {}
        self.figures: dict[str, Figure] = {}

    def progress(self, done: float, total: float, note: str = "") -> None:
        self.notes.append(note)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.curves.append(values)

    def table(self, title: str, rows: Sequence[Mapping[str, object]]) -> None:
        self.tables[title] = rows

    def plot(self, title: str, figure: Figure) -> None:
        self.figures[title] = figure


def test_a_run_says_live_where_its_time_went_and_shows_rollouts_side_by_side(
    tmp_path: Path,
) -> None:
    report = Recording()
    at = Store(tmp_path).workspace("key", report, family="family")
    used = Usage(busy_s=3.0, slot_s=4.0, seconds=2.0, waited_s=0.5, tools_s=0.25, tokens=10)

    class Used(ToyEngine):
        def play(
            self, problems: Sequence[Problem], seeds: Sequence[int], temperature: float
        ) -> list[Sample]:
            ready.usages.append(used)
            return super().play(problems, seeds, temperature)

    ready = practice(Used())
    run_iterations(ready, at)
    curves = report.curves[0]
    parts = ("rollout", "tools", "reward", "log-probabilities", "update", "sync", "save", "wait")
    assert {f"seconds/{part}" for part in parts} <= curves.keys()
    assert curves["engine/slot_use"] == 0.75
    assert curves["engine/tokens_per_s"] == 5.0
    assert (curves["seconds/wait"], curves["seconds/tools"]) == (0.5, 0.25)
    assert 0 < curves["entropy"] < 2
    rows = report.tables["Rollouts side by side"]
    assert rows[-1].keys() >= {"iteration", "best", "worst", "rejected", "odd"}
    assert "reward 1" in str(rows[-1]["best"])


def test_reward_that_rises_while_validation_falls_is_an_alarm(tmp_path: Path) -> None:
    """Validated before iterations 1, 4 and 7; rewards rise, as the policy learns."""
    report, rates = Recording(), iter([1.0, 0.9, 0.0, 0.0])

    def examine(samples: Sequence[Sample]) -> list[Verdict]:
        if len(samples) != len(POOL):
            return judge(samples)
        passed = round(next(rates) * len(samples))
        return [Verdict(float(place < passed)) for place in range(len(samples))]

    at = Store(tmp_path).workspace("key", report, family="family")
    run_iterations(replace(practice(ToyEngine()), judge=examine), at)
    assert [c["alarm"] for c in report.curves if "alarm" in c] == [0.0, 0.0, 1.0]
    said = [note for note in report.notes if "ALARM: reward rises, validation falls" in note]
    assert said[0].startswith("iter 7/9")
    labels = [str(line.get_label()) for line in report.figures["Reward by family"].axes[0].lines]
    assert "alarm: reward rises, validation falls" in labels
