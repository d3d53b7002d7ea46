"""Tools: change a state. Coins move between people; the final balances are what counts."""

import random

from k2core.problems.family import Call, Content, Family, Posed, Say, Script, Statement
from k2core.problems.results import read_result
from k2core.problems.tools import (
    Names,
    environment_state,
    find_tool,
    make_tool,
    name_arguments,
    shuffled_specs,
)
from k2core.problems.users import phrase
from k2core.problems.words import PEOPLE

_MOVE = Names(("move", "send", "give"), (("from", "to", "amount"), ("source", "target", "coins")))
_BALANCE = Names(("balance", "get_coins"), (("name",), ("person",)))


class Transfer(Family):
    """Move some coins, or all of them, which takes reading the balance first."""

    name = "transfer"

    def draw(self, rng: random.Random) -> Content:
        """Two people, their balances, and an amount or None for all."""
        giver, taker = rng.sample(PEOPLE, 2)
        balance = rng.randint(20, 99)
        amount = rng.randint(2, balance - 1) if rng.random() < 0.6 else None
        return {
            "giver": giver,
            "taker": taker,
            "amount": amount,
            "balances": {giver: balance, taker: rng.randint(1, 99)},
        }

    def identity(self, content: Content) -> object:
        """Who gives how much to whom."""
        giver = content["giver"]
        return [giver, content["taker"], content["amount"], content["balances"][giver]]

    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """In one turn, or names and amount when asked."""
        giver, taker, amount = content["giver"], content["taker"], content["amount"]
        move = make_tool(rng, _MOVE, "Move coins.", "move", "mixed")
        balance = make_tool(rng, _BALANCE, "Coins of a person.", "read_balance", "string")
        what = "all coins" if amount is None else f"{amount} coins"
        requests = (
            'Move {what} from "{giver}" to "{taker}".',
            '"{giver}" gives {what} to "{taker}".',
            'Send "{taker}" {what} from "{giver}".',
        )
        moved = content["balances"][giver] if amount is None else amount
        final = dict(content["balances"])
        final[giver] -= moved
        final[taker] += moved
        return Statement(
            f'{what.capitalize()} from "{giver}" to "{taker}".'
            if two_turns
            else phrase(rng, requests, what=what, giver=giver, taker=taker),
            "final_state",
            {"state": final},
            f"{giver} ends with {final[giver]} coins and {taker} with {final[taker]}.",
            tools=shuffled_specs(rng, (move, balance)),
            environment="ledger",
            state=environment_state((move, balance), content["balances"]),
            opener="Please move some coins." if two_turns else "",
            num_calls=2,
            max_tokens=128,
        )

    def act(self, posed: Posed, *, shortcut: bool) -> Script:
        """Read the balance if all is to move, then move, then say so."""
        problem, content = posed
        if problem.follow_ups:
            yield Say("How many, from whom to whom?")
        balance, move = (find_tool(problem, name) for name in ("read_balance", "move"))
        amount = content["amount"]
        if amount is None:
            found = yield Call(balance.name, name_arguments(balance, content["giver"]))
            amount = int(read_result(found))
        people = (content["giver"], content["taker"])
        yield Call(move.name, name_arguments(move, *people, amount))
        yield Say("Done.")
