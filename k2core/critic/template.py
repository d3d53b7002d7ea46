"""The critic's own template: a request, two answers, and a letter.

Each part is a message of its own. What an answer spells, special tokens included, stays plain text
between borders that no text can write, so that no answer reaches out of its place.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from k2core.chat import ChatCodec, EncodedDialogue
from k2core.critic.rubric import load_rubric
from schemas.chat import Message, Problem
from schemas.rubrics import Criterion, CriticTemplate

Letter = Literal["A", "B"]
LETTERS: tuple[Letter, Letter] = ("A", "B")
GRAMMAR = 'start: "A" | "B"'
"""Of what the critic may say."""
_TASK = "Which answer is better, A or B?"
_CUT = " [...] "


class OrderedPair(NamedTuple):
    """Two answers to a request, in the order in which they are shown."""

    problem: Problem
    first: str
    second: str

    @property
    def swapped(self) -> "OrderedPair":
        """In the other order."""
        return self._replace(first=self.second, second=self.first)


class Template:
    """Comparisons as prompts.

    Args:
        config: what is shown.
        codec: of the policy that is the critic.
    """

    def __init__(self, config: CriticTemplate, codec: ChatCodec) -> None:
        self._config, self._codec = config, codec
        self.rubric = load_rubric(config.rubrics)
        """All criteria."""

    def pose(self, comparison: OrderedPair) -> tuple[Message, ...]:
        """What the critic reads."""
        task = "\n".join([_TASK, *self._state(self.rubric.of(comparison.problem))])
        parts = (told(comparison.problem.messages), comparison.first, comparison.second)
        request, first, second = (self._clip(part) for part in parts)
        return (
            Message(role="system", content=task),
            Message(role="user", content=request),
            Message(role="user", content=f"A\n{first}"),
            Message(role="user", content=f"B\n{second}"),
        )

    def encode_prompt(self, comparison: OrderedPair) -> list[int]:
        """Up to where the letter stands."""
        return self._codec.encode_prompt(self.pose(comparison))

    def encode_example(self, comparison: OrderedPair, better: Letter) -> EncodedDialogue:
        """A judgement to learn from: the loss is on the letter, and on its end."""
        said = Message(role="assistant", content=better)
        return self._codec.encode_dialogue((*self.pose(comparison), said))

    def read_letter(self, ids: Sequence[int]) -> Letter | None:
        """What the critic said; None for anything but one letter."""
        text = self._codec.decode(ids[:1]) if ids else ""
        return next((letter for letter in LETTERS if letter == text), None)

    def _state(self, criteria: Sequence[Criterion]) -> list[str]:
        if self._config.show == "none":
            return []
        named = self._config.show == "names"
        return [c.id.replace("_", " ") if named else f"- {c.wording}" for c in criteria]

    def _clip(self, text: str) -> str:
        most = self._config.max_characters
        if len(text) <= most:
            return text
        kept = most - len(_CUT)
        return text[: kept // 2] + _CUT + text[len(text) - (kept - kept // 2) :]


def told(messages: Sequence[Message]) -> str:
    """A dialogue, or what an agent added to it, as plain text."""
    alone = len(messages) == 1 and not messages[0].tool_calls
    return messages[0].content if alone else "\n".join(map(_tell, messages))


def answer_of(problem: Problem, messages: Sequence[Message]) -> str:
    """What an agent did and said, all that follows the problem's own messages."""
    return told(messages[len(problem.messages) :])


def _tell(message: Message) -> str:
    if message.role != "assistant":
        return f"{message.role}: {message.content}"
    calls = [f"{call.name}{call.arguments}" for call in message.tool_calls]
    return "\n".join([*filter(None, [message.content]), *calls])
