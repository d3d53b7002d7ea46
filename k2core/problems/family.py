"""What a family of problems is: contents, the way they are asked, and how an expert acts."""

import hashlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from typing import Any, ClassVar, NamedTuple

from pydantic import JsonValue

from schemas.chat import Message, Problem, ToolSpec
from schemas.problems import FAMILY_GROUPS

Content = Mapping[str, Any]
"""What a problem is about, as plain JSON values: all but its wording."""


class Call(NamedTuple):
    """An act: one tool call."""

    name: str
    arguments: dict[str, JsonValue]


class Say(NamedTuple):
    """An act: a message to the user."""

    text: str


class Calls(NamedTuple):
    """An act: several tool calls in one message; what is sent back has a line each."""

    calls: tuple[Call, ...]


Act = Call | Calls | Say
Script = Generator[Act, str, None]
"""An expert's side of a dialogue: yields acts, is sent what came back, ends with the answer."""


class Posed(NamedTuple):
    """A problem together with what it is about, which its expert may know and a model may not."""

    problem: Problem
    content: Content


class Statement(NamedTuple):
    """What a family states of a problem; `Family.pose` adds what all problems have."""

    request: str
    verifier: str
    expected: dict[str, JsonValue]
    rubric: str
    tools: tuple[ToolSpec, ...] = ()
    environment: str = "none"
    state: dict[str, JsonValue] = {}  # noqa: RUF012 (a tuple's default; never changed)
    opener: str = ""
    """What a user says who tells the goal in two turns; empty if this one does not."""
    num_calls: int = 0
    """Calls that a faultless dialogue needs at most."""
    max_tokens: int = 64


class Family(ABC):
    """A generator of verifiable problems with their expert.

    Contents are drawn, then asked in a wording of a simulated user's style. The split goes by
    `identity`, so that a held-out problem is never a training problem in other words.
    """

    name: ClassVar[str]
    topic: ClassVar[str] = ""
    """Shared by families that ask of the same contents, which then lie in one split; else empty."""
    has_shortcut: ClassVar[bool] = False
    """Whether `act` knows a second way that is shorter, and less reliable for a small model."""

    @property
    def group(self) -> str:
        """The evaluation group."""
        return FAMILY_GROUPS[self.name]

    @abstractmethod
    def draw(self, rng: random.Random) -> Content:
        """What a problem is about."""

    @abstractmethod
    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """Word it for a simulated user, and set up tools, their state and the verifier."""

    @abstractmethod
    def act(self, posed: Posed, *, shortcut: bool) -> Script:
        """How an expert solves it."""

    def identity(self, content: Content) -> object:
        """What makes it the same problem; all of the content unless a family says less."""
        return content

    def key(self, content: Content) -> str:
        """Canonical text of the topic and the identity."""
        return self.name_key(self.identity(content))

    def keys(self, content: Content) -> tuple[str, ...]:
        """Of all that it asks for; each could be a problem of its topic by itself."""
        return (self.key(content),)

    def name_key(self, identity: object) -> str:
        """Canonical text of an identity within the topic."""
        return f"{self.topic or self.name} {json.dumps(identity, sort_keys=True)}"

    def pose(
        self, content: Content, rng: random.Random, problem_id: str, two_turn_frac: float
    ) -> Posed:
        """A whole problem about the content."""
        statement = self.ask(content, rng, two_turns=rng.random() < two_turn_frac)
        texts = (statement.opener, statement.request) if statement.opener else (statement.request,)
        # Room for one failed call that the expert or the policy recovers from.
        turns = statement.num_calls + len(texts) + (1 if statement.num_calls else 0)
        problem = Problem(
            problem_id=problem_id,
            family=self.name,
            group=self.group,
            messages=(Message(role="user", content=texts[0]),),
            follow_ups=texts[1:],
            tools=statement.tools,
            environment=statement.environment,
            seed=int.from_bytes(hashlib.sha256(problem_id.encode()).digest()[:4], "big"),
            state=statement.state,
            verifier=statement.verifier,
            expected=statement.expected,
            rubric=(statement.rubric,),
            max_turns=turns,
            max_tokens=statement.max_tokens,
        )
        return Posed(problem, content)
