"""Tools: read records. One call, two hops, a busy server, a misspelt key."""

import random
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import JsonValue

from k2core.environments import find_closest
from k2core.problems.family import Call, Content, Family, Posed, Say, Script, Statement
from k2core.problems.results import is_busy, read_result, read_suggestion
from k2core.problems.tools import (
    OLD,
    Names,
    Tool,
    environment_state,
    find_tool,
    make_tool,
    name_arguments,
    shuffled_specs,
)
from k2core.problems.users import phrase
from k2core.problems.words import ITEMS, PEOPLE, TEAMS

REQUESTS = (
    'What is the {attribute} of "{key}"?',
    'Find the {attribute} of "{key}".',
    'I need the {attribute} of "{key}".',
    'Which {attribute} has "{key}"?',
)
"""Keys stand in quotes, as in a call: the same tokens, so that a model can copy them."""
_VALUES = range(10, 100)


class Domain(NamedTuple):
    """A kind of record."""

    owner: str
    """What a key is, e.g. `person`."""
    keys: tuple[str, ...]
    attributes: tuple[str, ...]
    arguments: tuple[tuple[str], ...]


PERSON = Domain("person", PEOPLE, ("phone", "room", "code", "desk"), (("name",), ("person",)))
ITEM = Domain("item", ITEMS, ("price", "stock", "size", "weight"), (("item",), ("name",)))
DOMAINS = {"person": PERSON, "item": ITEM}
_VERBS = ("get", "read")


def make_reader(
    rng: random.Random, domain: Domain, attribute: str, table: str | None = None, **extra: JsonValue
) -> Tool:
    """A tool that reads one attribute."""
    names = Names([f"{verb}_{attribute}" for verb in _VERBS], domain.arguments)
    description = f"Read the {attribute} of {_article(domain.owner)}."
    fixed: dict[str, JsonValue] = {"table": table or attribute}
    return make_tool(rng, names, description, "read", "string", fixed=fixed, **extra)


class RecordFamily(Family):
    """Asks for one attribute of one key."""

    topic = "record"

    def draw(self, rng: random.Random) -> Content:
        """A key with its value, and two other records of the same kind."""
        domain = DOMAINS[rng.choice(list(DOMAINS))]
        attribute, unused = rng.sample(domain.attributes, 2)
        keys = rng.sample(domain.keys, 3)
        values = [str(v) for v in rng.sample(_VALUES, 3)]
        return {
            "domain": domain.owner,
            "attribute": attribute,
            "distractor": unused,
            "key": keys[0],
            "records": dict(zip(keys, values, strict=True)),
        }

    def identity(self, content: Content) -> object:
        """Key, attribute and value."""
        key = content["key"]
        return [key, content["attribute"], content["records"][key]]

    def act(self, posed: Posed, *, shortcut: bool) -> Script:
        """One call, then its result."""
        problem, content = posed
        if problem.follow_ups:
            yield Say(f"The {content['attribute']} of what?")
        tool = find_tool(problem, "read", content["attribute"])
        result = yield Call(tool.name, name_arguments(tool, content["key"]))
        yield Say(read_result(result))


class Lookup(RecordFamily):
    """One call to the right one of two tools."""

    name = "lookup"

    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """In one turn, or the attribute first and the key when asked."""
        domain, attribute = DOMAINS[content["domain"]], content["attribute"]
        right = make_reader(rng, domain, attribute)
        wrong = make_reader(rng, domain, content["distractor"])
        key = content["key"]
        others = {k: str(rng.choice(_VALUES)) for k in content["records"]}
        data = {attribute: content["records"], content["distractor"]: others}
        return Statement(
            f'Of "{key}".' if two_turns else phrase(rng, REQUESTS, key=key, attribute=attribute),
            "text_answer",
            {"answer": content["records"][key]},
            f"The {attribute} of {key} is read by a call and repeated exactly.",
            tools=shuffled_specs(rng, (right, wrong)),
            environment="records",
            state=environment_state((right, wrong), data),
            opener=f"I need the {attribute} of something." if two_turns else "",
            num_calls=1,
            max_tokens=80,
        )


class Retry(RecordFamily):
    """A server that is often busy, and an old copy that is always there and often wrong.

    Who insists gets the right value. The shortcut asks the old copy once the server is busy, and
    is right for half of the problems; rejection sampling keeps those.
    """

    name = "retry"
    has_shortcut = True

    def draw(self, rng: random.Random) -> Content:
        """As of all records, and whether the old copy still holds."""
        content = dict(super().draw(rng))
        key = content["key"]
        stale = str(rng.choice([v for v in _VALUES if str(v) != content["records"][key]]))
        content["old"] = content["records"][key] if rng.random() < 0.5 else stale
        return content

    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """In one turn."""
        domain, attribute, key = (
            DOMAINS[content["domain"]],
            content["attribute"],
            content["key"],
        )
        live = make_reader(rng, domain, attribute, busy_rate=0.6)
        argument = live.spec.parameters["required"]
        names = Names((f"old_{attribute}",), (argument,))  # type: ignore[arg-type]
        copy = make_tool(
            rng,
            names,
            f"An old copy of the {attribute}.",
            "read",
            "string",
            fixed={"table": OLD},
        )
        data = {attribute: content["records"], OLD: {key: content["old"]}}
        return Statement(
            phrase(rng, REQUESTS, key=key, attribute=attribute),
            "text_answer",
            {"answer": content["records"][key]},
            f"The {attribute} of {key} is right, however busy the server was.",
            tools=shuffled_specs(rng, (live, copy)),
            environment="records",
            state=environment_state((live, copy), data, max_busy=3),
            num_calls=4,
            max_tokens=160,
        )

    def act(self, posed: Posed, *, shortcut: bool) -> Script:
        """Call until the server answers; the shortcut turns to the old copy when it is busy."""
        problem, content = posed
        key, live = content["key"], find_tool(problem, "read", content["attribute"])
        then = find_tool(problem, "read", OLD) if shortcut else live
        result = yield Call(live.name, name_arguments(live, key))
        while is_busy(result):
            result = yield Call(then.name, name_arguments(then, key))
        yield Say(read_result(result))


class Correction(RecordFamily):
    """A misspelt key; the server suggests the right one."""

    name = "correction"

    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """In one turn, with one letter left out or doubled."""
        domain, attribute, key = (
            DOMAINS[content["domain"]],
            content["attribute"],
            content["key"],
        )
        typo = misspell(key, content["records"], rng)
        tool = make_reader(rng, domain, attribute)
        return Statement(
            phrase(rng, REQUESTS, key=typo, attribute=attribute),
            "text_answer",
            {"answer": content["records"][key]},
            f"The unknown {typo} is corrected to {key}, and its {attribute} repeated exactly.",
            tools=(tool.spec,),
            environment="records",
            state={**environment_state((tool,), {attribute: content["records"]}), "typo": typo},
            num_calls=2,
            max_tokens=112,
        )

    def act(self, posed: Posed, *, shortcut: bool) -> Script:
        """Call with the user's spelling, then with the suggested one."""
        tool = posed.problem.tools[0]
        result = yield Call(tool.name, name_arguments(tool, posed.problem.state["typo"]))
        if suggestion := read_suggestion(result):
            result = yield Call(tool.name, name_arguments(tool, suggestion))
        yield Say(read_result(result))


class LookupChain(Family):
    """Two hops: the head of a team, then that person's attribute."""

    name = "lookup_chain"
    topic = "record"

    def draw(self, rng: random.Random) -> Content:
        """A team, its head, and what is asked about the head."""
        teams, heads = rng.sample(TEAMS, 2), rng.sample(PEOPLE, 2)
        values = [str(v) for v in rng.sample(_VALUES, 2)]
        return {
            "team": teams[0],
            "attribute": rng.choice(PERSON.attributes),
            "heads": dict(zip(teams, heads, strict=True)),
            "records": dict(zip(heads, values, strict=True)),
        }

    def identity(self, content: Content) -> object:
        """The head, the attribute and its value, whatever the team."""
        head = content["heads"][content["team"]]
        return [head, content["attribute"], content["records"][head]]

    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """In one turn."""
        team, attribute = content["team"], content["attribute"]
        requests = (
            'What is the {attribute} of the head of team "{team}"?',
            'Find the {attribute} of the head of "{team}".',
            'I need the {attribute} of who leads team "{team}".',
        )
        names = Names([f"{verb}_head" for verb in _VERBS], (("team",),))
        head = make_tool(
            rng, names, "Read the head of a team.", "read", "string", fixed={"table": "heads"}
        )
        reader = make_reader(rng, PERSON, attribute)
        return Statement(
            phrase(rng, requests, team=team, attribute=attribute),
            "text_answer",
            {"answer": content["records"][content["heads"][team]]},
            f"The head of {team} is found first, then the {attribute}.",
            tools=shuffled_specs(rng, (head, reader)),
            environment="records",
            state=environment_state(
                (head, reader), {"heads": content["heads"], attribute: content["records"]}
            ),
            num_calls=2,
            max_tokens=112,
        )

    def act(self, posed: Posed, *, shortcut: bool) -> Script:
        """Carry the first result into the second call."""
        problem, content = posed
        head = find_tool(problem, "read", "heads")
        reader = find_tool(problem, "read", content["attribute"])
        found = yield Call(head.name, name_arguments(head, content["team"]))
        result = yield Call(reader.name, name_arguments(reader, read_result(found)))
        yield Say(read_result(result))


def misspell(key: str, records: Mapping[str, JsonValue], rng: random.Random) -> str:
    """The key with a letter doubled or left out, still closest to it among the records."""
    doubled = [key[:i] + key[i - 1] + key[i:] for i in range(1, len(key) + 1)]
    shorter = [key[:i] + key[i + 1 :] for i in range(1, len(key))] if len(key) > 3 else []
    typos = [t for t in doubled + shorter if t not in records and find_closest(records, t) == key]
    return rng.choice(typos)


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
