import pytest

from k2core.agents import ListeningUser, Session
from schemas.chat import Goal, Message, Problem, UserSpec

FIRST = Goal(text="Book me a room.", details={"check in": "May 3", "guests": "2"})
SPEC = UserSpec(persona="a traveller", goals=(FIRST, Goal(text="Actually, cancel it.")), patience=2)


def say(text: str) -> Message:
    return Message(role="assistant", content=text)


def test_a_user_answers_what_they_know_and_then_changes_their_mind() -> None:
    user = ListeningUser(SPEC)
    assert user.reply("For how many guests?") == "The guests is 2."
    assert user.reply("Guests and check-in, please?") == "The check in is May 3. The guests is 2."
    assert user.has_more
    assert user.reply("Booked.") == "Actually, cancel it."
    assert not user.has_more
    assert user.reply("Cancelled.") is None


def test_a_user_leaves_who_is_asked_what_they_do_not_know() -> None:
    user = ListeningUser(SPEC)
    said = [user.reply("Which colour?") for _ in range(3)]
    assert said == ["I do not know that.", "Never mind, I give up.", None]


@pytest.mark.parametrize(("style", "words"), [("polite", "Actually, cancel it. Thank you.")])
def test_styles_word_the_same_goal_differently(style: str, words: str) -> None:
    spec = SPEC.model_copy(update={"style": style})
    assert ListeningUser(spec).reply("Booked.") == words


def test_a_session_opens_the_problems_own_user() -> None:
    problem = Problem(
        problem_id="p",
        family="f",
        group="tools",
        messages=(Message(role="user", content=FIRST.text),),
        user=SPEC,
        verifier="final_state",
        max_turns=9,
    )
    session = Session(problem)
    session.reply(say("When is check in?"))
    session.reply(say("Booked."))
    session.reply(say("Cancelled."))
    assert session.stop_reason == "answered"
    assert [m.content for m in session.messages if m.role == "user"] == [
        "Book me a room.",
        "The check in is May 3.",
        "Actually, cancel it.",
    ]
