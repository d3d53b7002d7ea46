"""Rollouts: many dialogues over one engine, each going on as soon as it can."""

from collections.abc import Callable, Sequence
from functools import partial

from k2core.agents.crew import ThreadCrew
from k2core.agents.dialogue import Dialogue, Start
from k2core.agents.opening import OpenSession
from k2core.agents.player import Codec, How, Player, Table
from k2core.agents.session import Session
from k2core.engines.protocol import Talk, TalkingEngine, Usage
from schemas.chat import Problem

_MOST_AT_A_TIME = 256
"""Environments that are called side by side."""


def rollout(
    problems: Sequence[Problem],
    engine: TalkingEngine,
    codec: Codec,
    *,
    seeds: Sequence[int],
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_context: int = 1024,
    max_retries: int = 2,
    max_wait_s: float = 600.0,
    enforced: bool = False,
    on_turn: Callable[[int, int], None] | None = None,
    open_session: OpenSession = Session,
    on_usage: Callable[[Usage], None] | None = None,
) -> list[Dialogue]:
    """Play each problem to its end; order is kept.

    No dialogue waits for another: its calls are executed in a thread of its own while the engine
    goes on, and its next turn takes the first free slot. What is sampled depends on seeds alone, to
    the bit where environments answer in time (`k2core.engines.conversation`).

    A dialogue ends with an answer, at the problem's limit of turns, when its budget of tokens over
    all assistant messages is spent (K2 section 3.2.3), or where the model breaks the call format.
    One whose environment fails is played again with a fresh seed; if it fails to the last, or does
    not answer at all, it is `is_faulty` and says why: whoever called counts it and leaves it out.

    Raises:
        PromptTooLongError: a problem's prompt does not fit, whoever answers it.

    Args:
        problems: what is asked; one that is sampled K times stands K times in the list.
        engine: any engine; only its current weights are used.
        codec: turns messages to tokens; new messages are appended to what was sampled, never
            tokenized again with it.
        seeds: one a problem; a turn's sampling seed is drawn from it.
        temperature: of the sampling; 0 is greedy.
        top_p: of the sampling.
        enforced: hold every turn to K2's format and the tools' schemas; log p is then of what the
            grammar left.
        max_context: most tokens that the engine can hold, prompt and answer together.
        max_retries: times that a faulty dialogue is played again.
        max_wait_s: the longest that an environment may take for a turn.
        open_session: begins a dialogue; by default with a simulator of the problem's own.
        on_turn: told after each turn how many dialogues have ended, and how many there are.
        on_usage: told at the end what the engine was used for.
    """
    starts = [Start(*asked) for asked in zip(problems, seeds, strict=True)]
    how = How(temperature, top_p, enforced)
    table = Table(codec, open_session, max_context, how, engine.weights, max_retries)
    found = play_starts(
        starts, engine, table, max_wait_s=max_wait_s, on_turn=on_turn, on_usage=on_usage
    )
    return [result for result in found if isinstance(result, Dialogue)]


def play_starts(
    starts: Sequence[Start],
    engine: TalkingEngine,
    table: Table,
    *,
    most_tokens: int | None = None,
    max_wait_s: float = 600.0,
    on_turn: Callable[[int, int], None] | None = None,
    on_usage: Callable[[Usage], None] | None = None,
) -> list[Dialogue | Start]:
    """`rollout` of dialogues that may have been begun already, or be put off.

    One that was begun is taken through what was said, in a fresh environment, before it goes on.

    Args:
        starts: what is played.
        engine: that plays.
        table: what all are played with.
        most_tokens: put off what is unfinished when so many were sampled.
        max_wait_s: the longest that an environment may take for a turn.
        on_turn: told after each turn how many dialogues have ended, and how many there are.
        on_usage: told at the end what the engine was used for.
    """
    players = [Player(place, start, table) for place, start in enumerate(starts)]
    with ThreadCrew(_MOST_AT_A_TIME, max_wait_s) as crew:
        for player in players:
            crew.send(player.open, _nothing, player.give_up)
        crew.wait()
        usage = _play_all(players, engine, crew, most_tokens, on_turn)
    if on_usage:
        on_usage(usage._replace(tools_s=crew.seconds))
    return [player.result for player in players if player.result]


def _play_all(
    players: Sequence[Player],
    engine: TalkingEngine,
    crew: ThreadCrew,
    most_tokens: int | None,
    on_turn: Callable[[int, int], None] | None,
) -> Usage:
    """Each to its end."""
    talk = engine.converse([player.ask for player in players if player.ask], most_tokens)
    for place, completion in talk:
        player = players[place]
        last = completion.finish_reason == "paused"  # nobody waits for a reply to that
        then = _nothing if last else partial(_reply, talk, player)
        give_up = player.give_up if last else partial(_leave, talk, player)
        crew.send(partial(player.take, completion), then, give_up)
        if on_turn:
            on_turn(sum(player.result is not None for player in players), len(players))
    crew.wait()
    if on_turn:
        on_turn(len(players), len(players))
    return talk.usage


def _reply(talk: Talk, player: Player) -> None:
    talk.reply(player.place, player.ask)


def _leave(talk: Talk, player: Player, error: Exception) -> None:
    player.give_up(error)
    talk.reply(player.place, None)


def _nothing() -> None:
    """Follows what nobody waits for."""
