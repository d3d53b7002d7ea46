"""The report: dialogues of each verdict to read from top to bottom, and honest numbers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from infra.reports import dialogue_html
from k2core.chat import ChatCodec
from k2core.chat.tokens import END, USER
from k2core.reporting import Silent, Turn
from k2core.store import Draft, Store
from k2core.synthesize import synthesize_trajectories
from k2core.synthesize.judge import JUDGE
from k2core.synthesize.statistics import count_pieces, name_domain
from schemas.chat import Message, Problem, ToolSpec
from schemas.placement import Placement
from schemas.problems import ProblemsConfig
from schemas.synthesize import SynthesizeConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# As tiktoken states it.
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Kept(Silent):
    """Keeps what was reported."""

    def __init__(self) -> None:
        self.tables: dict[str, Sequence[Mapping[str, object]]] = {}
        self.dialogues: dict[str, Sequence[Turn]] = {}
        self.plots: list[str] = []

    def table(self, title: str, rows: Sequence[Mapping[str, object]]) -> None:
        self.tables[title] = rows

    def dialogue(self, title: str, turns: Sequence[Turn]) -> None:
        self.dialogues[title] = turns

    def plot(self, title: str, figure: "Figure") -> None:
        self.plots.append(title)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    config = SynthesizeConfig(
        num_problems=20,
        num_scenarios=60,
        live_per_server=0,
        failure_frac=0.2,
        outage_frac=0.2,
        distractor_frac=0.0,
    )
    problems = ProblemsConfig(families={"lookup": 1.0, "lookup_chain": 1.0})
    kept = Kept()
    workspace = Store(tmp_path_factory.mktemp("report")).workspace("synthesize", kept)
    made = synthesize_trajectories(config, problems, workspace, Placement())
    assert isinstance(made, Draft)
    return kept


def test_three_verdicts_are_readable(reported: Kept) -> None:
    verdicts = {title.partition(":")[0]: turns for title, turns in reported.dialogues.items()}
    assert {"Accepted", "Rejected for the agent"} <= verdicts.keys()
    assert "Rejected for the simulator (the environment)" in verdicts
    for verdict, turns in verdicts.items():
        speakers = [turn.who.split()[0] for turn in turns]
        assert "user" in speakers[:2]
        assert {"assistant", "tool", "criterion"} <= set(speakers)
        assert speakers[-1] == "verdict"
        side = verdict.removeprefix("Rejected for the ").split()[0]
        said = turns[-1].text
        wanted = {"Accepted": f"accepted by {JUDGE}", "simulator": "environment: "}
        wanted |= {"simulated": "user: "}
        assert said.startswith(wanted.get(side, f"{side}: "))
        calls = [turn.text.partition("\n") for turn in turns if turn.text.startswith("functions.")]
        assert all(arguments.startswith("{") for _, _, arguments in calls)
        assert calls


def test_format_statistics_are_there(reported: Kept) -> None:
    rows = reported.tables["Format of accepted dialogues"]
    names = [str(row["of an accepted dialogue"]).split()[0] for row in rows]
    assert names == ["turns", "tool", "tokens", "characters"]
    assert all(float(str(row["largest"])) >= float(str(row["median"])) > 0 for row in rows)
    assert "Turns, calls, tokens and domains of accepted dialogues" in reported.plots


def test_a_page_escapes_what_was_said() -> None:
    page = dialogue_html("Accepted", [Turn("user", "<b>1 < 2</b>"), Turn("tool add", "{}")])
    assert "&lt;b&gt;1 &lt; 2&lt;/b&gt;" in page
    assert page.count("border-left") == 2


@given(st.lists(st.text(st.characters(categories=("L", "Nd", "P"), exclude_characters="'"))))
def test_pieces_are_those_of_tiktokens_split(words: list[str]) -> None:
    text = " ".join(filter(None, words))
    split = pre_tokenizers.Split(Regex(CL100K), "isolated")
    assert count_pieces(text) == len(split.pre_tokenize_str(text))


def test_special_tokens_count_as_one_and_pieces_are_no_more_than_tokens(codec: ChatCodec) -> None:
    text = "Book 3 seats for Ada, please: it's urgent."
    assert count_pieces(f"{USER}{text}{END}") == 2 + count_pieces(text)
    assert count_pieces(text) <= len(codec.encode(text))


def test_a_domain_is_what_most_tools_are_about() -> None:
    tools = tuple(
        ToolSpec(name=name, description=text)
        for name, text in (("pay_invoice", "Pays."), ("list_invoices", ""), ("roll_dice", "Rolls."))
    )
    problem = Problem(
        problem_id="p",
        family="f",
        group="tools",
        messages=(Message(role="user", content="?"),),
        tools=tools,
        verifier="text_answer",
    )
    assert name_domain(problem) == "finance"
    assert name_domain(problem.model_copy(update={"tools": ()})) == "no tools"
