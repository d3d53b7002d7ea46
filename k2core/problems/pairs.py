"""Tools: two calls side by side, and a tool that does not do what is asked."""

import random

from k2core.problems.family import Call, Calls, Content, Family, Posed, Say, Script, Statement
from k2core.problems.records import DOMAINS, ITEM, PERSON, REQUESTS, RecordFamily, make_reader
from k2core.problems.results import read_result
from k2core.problems.tools import environment_state, name_arguments
from k2core.problems.users import phrase
from k2core.problems.words import ITEMS, PEOPLE, WORDS


class LookupPair(RecordFamily):
    """One attribute of two keys: two calls in one message."""

    name = "lookup_pair"

    def keys(self, content: Content) -> tuple[str, ...]:
        """Of both records: each could be looked up by itself."""
        identities = ([k, content["attribute"], content["records"][k]] for k in _both(content))
        return tuple(map(self.name_key, identities))

    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """In one turn."""
        attribute, (one, other) = content["attribute"], _both(content)
        tool = make_reader(rng, DOMAINS[content["domain"]], attribute)
        requests = (
            'Give me the {attribute} of "{a}" and of "{b}", with a comma between.',
            'Find the {attribute} of "{a}" and "{b}", joined by a comma.',
        )
        records = content["records"]
        return Statement(
            phrase(rng, requests, attribute=attribute, a=one, b=other),
            "text_answer",
            {"answer": f"{records[one]}, {records[other]}"},
            f"Both values of {attribute} are read by calls and repeated exactly.",
            tools=(tool.spec,),
            environment="records",
            state=environment_state((tool,), {attribute: records}),
            num_calls=2,
            max_tokens=144,
        )

    def act(self, posed: Posed, *, shortcut: bool) -> Script:
        """Both calls at once, then both results."""
        tool = posed.problem.tools[0]
        calls = [Call(tool.name, name_arguments(tool, key)) for key in _both(posed.content)]
        results = yield Calls(tuple(calls))
        yield Say(", ".join(map(read_result, results.splitlines())))


class NoTool(Family):
    """The only tool reads another attribute: it must not be called, and nothing be made up."""

    name = "no_tool"

    def draw(self, rng: random.Random) -> Content:
        """A key, what is asked of it, and what the tool would read."""
        owner = rng.choice(list(_ASKED))
        keys, attributes = _ASKED[owner]
        asked = rng.choice(attributes)
        unused = rng.choice([a for a in DOMAINS[owner].attributes if a != asked])
        return {"domain": owner, "key": rng.choice(keys), "attribute": asked, "distractor": unused}

    def identity(self, content: Content) -> object:
        """The question, whatever the tool."""
        return [content["key"], content["attribute"]]

    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """In one turn."""
        attribute, key, unused = (content[n] for n in ("attribute", "key", "distractor"))
        tool = make_reader(rng, DOMAINS[content["domain"]], unused)
        return Statement(
            phrase(rng, REQUESTS[:3], key=key, attribute=attribute),
            "declined",
            {},
            f"It says that no tool reads the {attribute}; it calls none and states no value.",
            tools=(tool.spec,),
            environment="records",
            state=environment_state((tool,), {unused: {key: str(rng.randint(10, 99))}}),
            num_calls=1,
            max_tokens=80,
        )

    def act(self, posed: Posed, *, shortcut: bool) -> Script:
        """Say so."""
        yield Say("I have no tool for that.")


_ASKED = {
    "person": (PEOPLE, (*PERSON.attributes, "age", "city", "street", "birthday")),
    "item": (tuple(dict.fromkeys((*ITEMS, *WORDS))), (*ITEM.attributes, "age", "maker", "owner")),
}
"""Keys and attributes by domain; some attributes no tool of the house reads."""


def _both(content: Content) -> tuple[str, str]:
    """The key, and the first of the other records."""
    key: str = content["key"]
    return key, next(other for other in content["records"] if other != key)
