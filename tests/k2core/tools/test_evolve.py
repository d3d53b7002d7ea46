"""Every synthetic tool really does what it says."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from k2core.environments import open_environment
from k2core.environments.entities import CHANGES
from k2core.problems.tools import environment_state
from k2core.tools import Entity, SyntheticTool, evolve_tools, read_ontology
from k2core.tools.diversity import drop_near, embed_tools
from k2core.tools.records import draw_tables, draw_value
from schemas.chat import Problem


@pytest.fixture(scope="module")
def tools() -> list[SyntheticTool]:
    return list(evolve_tools())


def problem_of(made: SyntheticTool, tables: dict[str, Any]) -> Problem:
    return Problem(
        problem_id="p",
        family="f",
        group="tools",
        messages=(),
        environment="entities",
        state=environment_state([made.tool], tables),
        verifier="final_state",
    )


def arguments_of(made: SyntheticTool, tables: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A call that must succeed."""
    entity, semantics = made.entity, made.semantics
    table, ids = tables[entity.name], list(tables[entity.name])
    names: Any = made.tool.binding["arguments"]
    values: dict[str, Any] = {}
    for name, (role, kind) in zip(names, semantics.arguments, strict=True):
        if role == "id":
            before = semantics.fixed.get("before")
            fit = [i for i in ids if before in (None, table[i]["state"])]
            values[name] = rng.choice(fit or ids)
        elif kind == f"ref({entity.name})":
            values[name] = ids[role in ("second", "target")]
        elif role == "amount":
            values[name] = 1
        elif kind.startswith("ref("):
            values[name] = next(iter(tables[kind[4:-1]]))
        else:
            values[name] = draw_value(role, kind, rng)
    if semantics.operation == "find_range":
        low, high = sorted(values.values())
        values = dict(zip(values, (low, high), strict=True))
    return values


def sample(
    tools: list[SyntheticTool], count: int
) -> Iterator[tuple[SyntheticTool, dict[str, Any]]]:
    rng = random.Random(0)
    for made in rng.sample(tools, count):
        tables = draw_tables(made.entity, rng)
        if before := made.semantics.fixed.get("before"):
            tables[made.entity.name][f"{made.entity.name}_1"]["state"] = before
        yield made, tables


def test_there_are_over_20_000_different_specs_in_over_20_domains(
    tools: list[SyntheticTool],
) -> None:
    assert len({made.spec.model_dump_json() for made in tools}) == len(tools) > 20_000
    assert len({made.entity.domain for made in tools}) > 20
    for made in tools[::50]:
        jsonschema.Draft202012Validator.check_schema(made.spec.parameters)
    again = evolve_tools()
    assert all(next(again) == made for made in tools[:500])


@pytest.mark.slow
def test_over_20_000_are_left_without_their_near_duplicates(tools: list[SyntheticTool]) -> None:
    assert len(drop_near(embed_tools([made.spec for made in tools]))) > 20_000


def test_right_calls_succeed_and_replay_and_only_changes_change(tools: list[SyntheticTool]) -> None:
    rng, seen = random.Random(1), set()
    for made, tables in sample(tools, 3000):
        problem, before = problem_of(made, tables), copy.deepcopy(tables)
        arguments = arguments_of(made, tables, rng)
        jsonschema.validate(arguments, made.spec.parameters)
        heard = []
        for _ in range(2):
            environment = open_environment(problem)
            heard.append((environment.call(made.spec.name, dict(arguments)), environment.state))
        assert heard[0] == heard[1]
        assert "result" in json.loads(heard[0][0]), (made.spec, arguments, heard[0][0])
        same = heard[0][1] == before
        operation = made.semantics.operation
        assert same or operation in CHANGES, made.spec
        if operation in ("create", "delete", "advance", "add_to", "move_between"):
            assert not same
        seen.add(operation)
    assert len(seen) == 18


def test_wrong_calls_are_refused_and_change_nothing(tools: list[SyntheticTool]) -> None:
    rng = random.Random(2)
    for made, tables in sample(tools, 1500):
        if not made.semantics.arguments:
            continue
        arguments = arguments_of(made, tables, rng)
        name = rng.choice(list(arguments))
        kind = dict(zip(arguments, (k for _, k in made.semantics.arguments), strict=True))[name]
        if kind.startswith("ref(") and made.semantics.operation in ("find", "count_where"):
            continue  # asking for what nobody refers to is no mistake
        wrong = {**arguments, name: ["?"] if kind != "text" else "  "}
        missing = {k: v for k, v in arguments.items() if k != name}
        for bad in (wrong, missing, {**arguments, "extra_": 1}):
            environment = open_environment(problem_of(made, tables))
            assert "error" in json.loads(environment.call(made.spec.name, bad)), (made.spec, bad)
            assert environment.state == tables


def test_a_deleted_id_does_not_come_back() -> None:
    entity = next(e for e in read_ontology() if not e.references)
    kinds = {s.semantics.operation: s for s in evolve_tools(1, entities=[entity])}
    tables = draw_tables(entity, random.Random(0), 2)
    tools = [kinds[name].tool for name in ("create", "delete")]
    problem = problem_of(kinds["create"], tables)
    problem = problem.model_copy(update={"state": environment_state(tools, tables)})
    environment = open_environment(problem)
    fields = arguments_of(kinds["create"], tables, random.Random(0))
    first = json.loads(environment.call(tools[0].spec.name, fields))["result"]
    argument: Any = tools[1].binding["arguments"]
    environment.call(tools[1].spec.name, {argument[0]: first})
    assert json.loads(environment.call(tools[0].spec.name, fields))["result"] != first


@pytest.mark.parametrize("text", ["a:text", "a:txt state:x>y|z", "a:text state:x>y"])
def test_a_line_that_is_no_entity_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ontology.yaml"
    path.write_text(f"shop:\n  retail:\n    order: {text}\n")
    with pytest.raises(ValueError, match=r"ontology\.yaml: shop/retail/order: "):
        read_ontology(path)


def test_every_reference_leads_to_an_entity_of_its_domain() -> None:
    for entity in read_ontology():
        assert isinstance(entity, Entity)
        draw_tables(entity, random.Random(0))
