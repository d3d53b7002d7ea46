"""Problems of somebody's own: what rows become, which are left out and why, and where they lie."""

import bz2
import gzip
import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import polars as pl
import pytest
from pydantic import JsonValue, ValidationError

from k2core.problems import (
    ProblemSourceError,
    TooFewContentsError,
    describe_families,
    fit_context,
    held_out_problems,
    own_families,
    pose_training,
    training_problem,
    validation_problems,
)
from k2core.problems.bank import RowFault, look_through
from schemas.chat import Message, Problem, ToolSpec
from schemas.problems import FileSource, ProblemsConfig, PuzzleSource, Sources

NOTHING: Mapping[str, str] = MappingProxyType({})
GOOD: dict[str, JsonValue] = {"prompt": "What is 1 + 1?", "answer": 2}
DEEP = '{"prompt": "p", "answer": ' + "[" * 200 + "]" * 200 + "}"


def written(folder: Path, lines: list[str], verifier: str = "integer_answer") -> FileSource:
    path = folder / "own.jsonl"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    return FileSource(name="own", path=str(path), verifier=verifier, max_faulty_frac=0.99)


def asking(source: FileSource | PuzzleSource, **more: float) -> ProblemsConfig:
    if isinstance(source, FileSource):
        return ProblemsConfig(families={}, sources=Sources(files=(source,)), **more)
    return ProblemsConfig(families={}, sources=Sources(puzzles=(source,)), **more)


@pytest.mark.parametrize(
    ("line", "field", "words"),
    [
        ("{", "row", "is no JSON"),
        ("[1]", "row", "must be an object"),
        ('{"prompt": NaN}', "row", "NaN is no number"),
        (DEEP, "row", "deep"),
        (json.dumps({**GOOD, "prompt": "x" * 10_000_000}), "row", "max_row_bytes=1,000,000"),
        ('{"answer": 1}', "prompt", "give either prompt"),
        ('{"prompt": "a", "messages": [], "answer": 1}', "prompt", "give either prompt"),
        ('{"prompt": " ", "answer": 1}', "prompt", "not empty"),
        ('{"prompt": 7, "answer": 1}', "prompt", "must be a text"),
        ('{"prompt": null, "answer": 1}', "prompt", "give either prompt"),
        ('{"messages": [], "answer": 1}', "messages", "must end with what a user says"),
        ('{"messages": "hi", "answer": 1}', "messages", "valid tuple"),
        (
            '{"messages": [{"role": "assistant", "content": "a"}], "answer": 1}',
            "messages",
            "must end with what a user says",
        ),
        (
            '{"messages": [{"role": "wizard", "content": "a"}], "answer": 1}',
            "messages",
            "0.role",
        ),
        ('{"prompt": "a"}', "answer", "lacks 'answer'"),
        ('{"prompt": "a", "answer": null}', "answer", "lacks 'answer'"),
        ('{"prompt": "a", "answer": "two"}', "answer", 'whole number, not "two"'),
        ('{"prompt": "a", "answer": true}', "answer", "a number, not true"),
        ('{"prompt": "a", "answer": 1.5}', "answer", "whole number, not 1.5"),
        ('{"prompt": "a", "answer": 1, "verifier": "guess"}', "verifier", "no 'guess'; there are"),
        ('{"prompt": "a", "answer": 1, "verifier": "m:f"}', "verifier", "in the source's verifier"),
        ('{"prompt": "a", "answer": "", "verifier": "text_answer"}', "answer", "not empty"),
        ('{"prompt": "a", "verifier": "python_function", "tests": []}', "tests", "one text"),
        ('{"prompt": "a", "verifier": "program", "cases": [{}]}', "cases", "stdin"),
        (
            '{"prompt": "a", "verifier": "puzzle", "dataset": "gcd", "entry": {}}',
            "expected",
            "entry",
        ),
        ('{"prompt": "a", "verifier": "instruction", "kind": "x"}', "expected", "known kinds"),
        (
            '{"messages": [{"role": "tool", "content": "a"}], "answer": 1}',
            "messages",
            "without calls",
        ),
        (
            '{"messages": [{"role": "user", "content": [{"type": "image_url"}]}], "answer": 1}',
            "messages",
            "may hold texts alone",
        ),
        ('{"prompt": "a", "answer": 1, "tools": 3}', "tools", "list of functions"),
        ('{"prompt": "a", "answer": 1, "tools": [{"name": "a b"}]}', "tools", "0.name"),
        ('{"prompt": "a", "answer": 1, "expected": 3}', "expected", "must be an object"),
        ('{"prompt": "a", "answer": 1, "max_tokens": 0}', "max_tokens", "from 1 on"),
        ('{"prompt": "a", "answer": 1, "max_turns": 1.5}', "max_turns", "from 1 on"),
        ('{"prompt": "a", "answer": 1, "split": "dev"}', "split", "'dev' is none of train"),
        ('{"prompt": "a", "answer": 1, "id": [1]}', "id", "a text or a whole number"),
        ('{"prompt": "what is  1 + 1?", "answer": 3}', "prompt", "asks what row 1 asks"),
        ('{"prompt": "b", "answer": 1, "id": "first"}', "id", "that of row 1"),
    ],
)
def test_a_bad_row_is_left_out_and_says_why(
    tmp_path: Path, line: str, field: str, words: str
) -> None:
    source = written(tmp_path, [json.dumps({**GOOD, "id": "first"}), "", line])
    good, bad = look_through(asking(source), source)
    assert isinstance(bad, RowFault)
    assert not isinstance(good, RowFault)
    assert (bad.row, bad.field) == (3, field)
    assert words in bad.reason


def test_what_is_odd_and_usable_is_used(tmp_path: Path) -> None:
    lines = [
        '{"prompt": "half a face \\ud83d", "answer": "3"}',
        '{"messages": [{"role": "user", "content": "a", "name": null}], "answer": 4.0}',
        '{"prompt": [{"role": "user", "content": "b"}], "expected": {"answer": 5}, "level": "x"}',
        '{"prompt": [{"role": "developer", "content": "Be short."}, {"role": "user", "content": '
        '[{"type": "text", "text": "c"}, "d"]}], "answer": 6, "max_tokens": "9", "split": "Train"}',
    ]
    source = written(tmp_path, lines)
    found = [own for own in look_through(asking(source), source) if not isinstance(own, RowFault)]
    asked = [own.problem.messages[-1].content for own in found]
    assert asked == ["half a face \ufffd", "a", "b", "c\nd"]
    assert [own.problem.expected["answer"] for own in found] == [3, 4, 5, 6]
    assert (found[3].problem.max_tokens, found[3].split) == (9, "train")
    assert found[2].problem.expected["level"] == "x"


def test_too_many_bad_rows_stop_before_anything_is_trained(tmp_path: Path) -> None:
    source = written(tmp_path, [json.dumps(GOOD), '{"prompt": "b"}', "{"])
    strict = source.model_copy(update={"max_faulty_frac": 0.1})
    with pytest.raises(
        ProblemSourceError, match=r"own: 2 of 3 rows of .* max_faulty_frac=0.1 .*row 2: "
    ):
        own_families(asking(strict))
    nothing = written(tmp_path, ["", " "])
    with pytest.raises(ProblemSourceError, match="own: no row of 0 makes a problem"):
        own_families(asking(nothing))


def numbered(folder: Path, count: int) -> FileSource:
    rows = [{"prompt": f"What is {n} + {n}?", "answer": 2 * n, "id": n} for n in range(count)]
    return written(folder, list(map(json.dumps, rows)))


def test_a_file_is_split_by_what_it_asks(tmp_path: Path) -> None:
    config = asking(numbered(tmp_path, 200))
    held_out, validation = held_out_problems(config), validation_problems(config, 99)
    train = [training_problem(config, index) for index in range(200)]
    asked = [{p.messages[0].content for p in part} for part in (held_out, validation, train)]
    assert sum(map(len, asked)) == len(set.union(*asked)) == 200
    assert 25 <= len(held_out) <= 55
    num_train = len(asked[2])
    assert len({p.problem_id for p in train[:num_train]}) == num_train  # none twice before all once
    assert train[num_train] == train[0]
    assert held_out[0].problem_id.startswith("own/held_out/")
    shuffled = asking(numbered(tmp_path, 200).model_copy(update={"name": "other"}))
    assert {p.messages[0].content for p in held_out_problems(shuffled)} == asked[0]
    assert held_out_problems(asking(numbered(tmp_path, 200), seed=1)) != held_out


def test_a_row_may_say_where_it_lies(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{n}", "answer": n, "split": "test" if n < 3 else "train"} for n in range(9)
    ]
    config = asking(written(tmp_path, list(map(json.dumps, rows))))
    assert {p.messages[0].content for p in held_out_problems(config)} == {"0", "1", "2"}
    assert validation_problems(config, 5) == []
    alone = asking(written(tmp_path, ['{"prompt": "a", "answer": 1, "split": "train"}']))
    with pytest.raises(TooFewContentsError, match="none of its 1 problems is held out"):
        held_out_problems(alone)


def test_families_and_sources_mix_by_weight(tmp_path: Path) -> None:
    source = numbered(tmp_path, 50).model_copy(update={"weight": 3.0})
    config = ProblemsConfig(families={"compare": 1.0}, sources=Sources(files=(source,)))
    names = [training_problem(config, index).family for index in range(200)]
    assert 120 <= names.count("own") <= 180
    assert names.count("own") + names.count("compare") == 200
    assert [row["source"] for row in describe_families(config)] == ["own"]
    assert pose_training(config, 3).problem.family == "compare"  # an expert's part
    with pytest.raises(ValueError, match="no weight above 0"):
        pose_training(asking(numbered(tmp_path, 50)), 0)


def test_parquet_is_read_as_json_lines_are(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "prompt": ["a", "b", None],
            "answer": [1, 2, 3],
            "level": [0.5, float("nan"), float("nan")],
            "messages": [None, None, [{"role": "user", "content": "c"}]],
        }
    )
    path = tmp_path / "own.parquet"
    frame.write_parquet(path)
    source = FileSource(name="own", path=str(path), verifier="integer_answer")
    assert own_families(asking(source))["own"].num_problems == 3
    path.write_bytes(path.read_bytes()[:40])
    broken = FileSource(name="own", path=str(path), verifier="integer_answer")
    with pytest.raises(ProblemSourceError, match="is not whole parquet"):
        own_families(asking(broken))


ROWS = [{"prompt": f"What is {n} + {n}?", "answer": 2 * n} for n in range(3)]
LINES = "\n".join(map(json.dumps, ROWS)).encode()
PACKED = gzip.compress(LINES, mtime=0)  # equal in each process that collects
INDENTED = "\n".join(json.dumps(row, indent=2) for row in ROWS).encode()
CSV = b'prompt,answer\r\n"What is 0 + 0?",0\r\n\r\n"What is\n1 + 1?",2\r\nWhat is 2 + 2?,4\r\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b"\xef\xbb\xbf" + LINES.replace(b"\n", b"\r\n")),
        ("a.json", json.dumps(ROWS).encode()),
        ("a.json", json.dumps(ROWS, indent=1).encode()),
        ("a.jsonl", INDENTED),
        ("a.json", INDENTED.replace(b"}\n", b"},\n")),
        ("a.jsonl.gz", PACKED),
        ("a.jsonl", bz2.compress(LINES)),
        ("a.csv", CSV),
        ("a.csv.xz", lzma.compress(b"\xef\xbb\xbf" + CSV)),
        ("a.tsv", CSV.replace(b",", b"\t")),
    ],
)
def test_a_file_is_read_in_whatever_form_it_has(tmp_path: Path, name: str, content: bytes) -> None:
    source = filed(tmp_path / name, content)
    found = [own for own in look_through(asking(source), source) if not isinstance(own, RowFault)]
    asked = [" ".join(own.problem.messages[0].content.split()) for own in found]
    assert asked == [row["prompt"] for row in ROWS]
    assert [own.problem.expected["answer"] for own in found] == [0, 2, 4]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", b'[{"prompt": "a"', "is not JSON"),
        ("a.json", b"[" * 99_999, "is not JSON"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1", "is not here: it is Git LFS"),
        ("a.jsonl.gz", PACKED[:-9], r"is not a whole \.gz"),
        ("a.csv", b'prompt,answer\na,1\n"b,2\n', "is not a table: after line 2"),
        ("a.csv", b"prompt,answer\nna\xefve,1\n", "is not a table"),
    ],
)
def test_a_file_that_breaks_off_says_so(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    source = filed(tmp_path / name, content)
    with pytest.raises(ProblemSourceError, match=f"own: .*{name} {words}"):
        own_families(asking(source))


def test_odd_rows_of_a_table_and_of_a_list(tmp_path: Path) -> None:
    """A cell may be JSON; one too many and what is no object are faults of their rows."""
    cell = json.dumps([{"role": "user", "content": "a, b"}]).replace('"', '""')
    table = filed(tmp_path / "a.csv", f'messages,answer\n"{cell}",1\nb,2,3\n'.encode())
    good, bad = look_through(asking(table), table)
    assert not isinstance(good, RowFault)
    assert good.problem.messages[0].content == "a, b"
    assert isinstance(bad, RowFault)
    assert (bad.row, bad.reason) == (3, "has 3 cells, and the names are 2")
    listed = filed(tmp_path / "a.json", b'[3, {"prompt": "a", "answer": 1}]')
    bad, good = look_through(asking(listed), listed)
    assert isinstance(bad, RowFault)
    assert not isinstance(good, RowFault)


def test_a_file_may_call_its_fields_otherwise(tmp_path: Path) -> None:
    """As GSM8K, MATH and verl's files do; what is told is no longer among the verifier's fields."""
    row = {"question": "1 + 1?", "answer": "It is 2.", "reward_model": {"ground_truth": 2}, "n": 3}
    names = {"prompt": "question", "answer": "reward_model.ground_truth"}
    source = filed(tmp_path / "a.jsonl", json.dumps(row).encode(), names)
    (found,) = look_through(asking(source), source)
    assert not isinstance(found, RowFault)
    assert found.problem.messages[0].content == "1 + 1?"
    assert found.problem.expected["answer"] == 2
    assert found.problem.expected["n"] == 3
    assert "question" not in found.problem.expected
    plain = filed(tmp_path / "a.jsonl", json.dumps(row).encode())
    (fault,) = look_through(asking(plain), plain)
    assert isinstance(fault, RowFault)
    assert "the row has 'question', 'answer', 'reward_model', 'n'" in fault.reason


def filed(path: Path, content: bytes, fields: Mapping[str, str] = NOTHING) -> FileSource:
    path.write_bytes(content)
    return FileSource(name="own", path=str(path), verifier="integer_answer", fields=dict(fields))


def test_other_bytes_and_other_code_are_another_config(tmp_path: Path) -> None:
    rewards = tmp_path / "rewards.py"
    rewards.write_text("def score(response): return 1.0")
    first = written(tmp_path, [json.dumps(GOOD)], f"{rewards}:score")
    again = written(tmp_path, [json.dumps(GOOD)], f"{rewards}:score")
    assert asking(first) == asking(again)
    assert FileSource.model_validate(first.model_dump()) == first
    rewards.write_text("def score(response): return 0.0")
    assert asking(written(tmp_path, [json.dumps(GOOD)], f"{rewards}:score")) != asking(first)
    assert FileSource.model_validate(first.model_dump()) == first  # what was stated stays so
    Path(first.path).write_text('{"prompt": "other", "answer": 1}')
    with pytest.raises(ProblemSourceError, match="state it again"):
        own_families(asking(first, held_out_frac=0.3))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"path": "nowhere.jsonl"}, "nowhere.jsonl: cannot be read"),
        ({"path": "."}, "cannot be read: Is a directory: a source is one file"),
        ({"path": "s3://bucket/q.jsonl"}, "state the file's SHA-256 in digest"),
        ({"verifier": "nowhere.py:score"}, "nowhere.py: cannot be read"),
        ({"verifier": "no_such_module:score"}, "no module 'no_such_module'"),
        ({"verifier": "my file:"}, "is not FILE.py:NAME"),
        ({"name": "compare"}, r"\['compare'\] are taken"),
        ({"name": "a b"}, "should match pattern"),
    ],
)
def test_a_source_that_cannot_be_stated(tmp_path: Path, fields: dict[str, str], words: str) -> None:
    good = {"name": "own", "path": written(tmp_path, [json.dumps(GOOD)]).path}
    with pytest.raises(ValidationError, match=words):
        ProblemsConfig.model_validate({"sources": {"files": [good | fields]}})
    with pytest.raises(ValidationError, match="all weights are 0"):
        ProblemsConfig.model_validate({"families": {}, "sources": {"files": []}})


def test_puzzles_are_drawn_and_split() -> None:
    source = PuzzleSource(dataset="gcd", size=40, options={"max_value": 50})  # type: ignore[call-arg]
    config = asking(source)
    family = own_families(config)["gcd"]
    assert family.num_rows == 40
    assert {len(found) > 0 for found in family.splits.values()} == {True}
    problem = training_problem(config, 0)
    assert (problem.verifier, problem.expected["dataset"]) == ("puzzle", "gcd")
    for wrong, words in (
        ({"dataset": "chess"}, "has no 'chess'; it has"),
        ({"options": {"min_value": 9, "max_value": 1}}, "gcd refuses"),
        ({"options": {"no_such": 9}}, "gcd refuses"),
    ):
        with pytest.raises(ProblemSourceError, match=words):
            own_families(asking(source.model_copy(update=wrong)))


class Letters:
    """A codec of a token a letter."""

    def encode_prompt(
        self, messages: tuple[Message, ...], tools: tuple[ToolSpec, ...] = ()
    ) -> list[int]:
        return [0] * sum(len(m.content) for m in messages)


def test_a_prompt_that_fills_the_context_is_left_out() -> None:
    def asked(text: str) -> Problem:
        said = (Message(role="user", content=text),)
        return Problem(
            problem_id=text, family="f", group="general", messages=said, verifier="text_answer"
        )

    found = fit_context([asked("abc"), asked("abcd")], Letters(), 4)  # type: ignore[arg-type]
    assert [p.problem_id for p in found.kept] == ["abc"]
    assert found.rows(4) == [{"problem": "abcd", "left out": "its prompt fills 4 tokens"}]
    with pytest.raises(ValueError, match="no prompt of 1 problems"):
        fit_context([asked("abcd")], Letters(), 4)  # type: ignore[arg-type]
    assert fit_context([], Letters(), 4).kept == []  # type: ignore[arg-type]


def test_what_one_file_sets_apart_no_other_trains_on(tmp_path: Path) -> None:
    """As the two files of a data set that overlap."""
    shared = {"prompt": "Shared?", "answer": 1}
    sources = []
    for name, split in (("learn", "train"), ("exam", "test")):
        rows = [shared, {"prompt": f"{name}?", "answer": 2}]
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(json.dumps({**row, "split": split}) for row in rows))
        sources.append(FileSource(name=name, path=str(path)))
    config = ProblemsConfig(families={}, sources=Sources(files=tuple(sources)))
    with pytest.raises(ProblemSourceError, match=r"learn: 1 problems .*\(row 1\) is exam/held_out"):
        own_families(config)
    alone = ProblemsConfig(families={}, sources=Sources(files=(sources[0],)))
    assert own_families(alone)["learn"].num_problems == 2


def test_long_ids_stay_apart(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "answer": n, "id": "x" * 120 + str(n)} for n in range(3)]
    found = own_families(asking(written(tmp_path, list(map(json.dumps, rows)))))["own"]
    assert found.num_problems == 3
    assert sorted(found.rows.values()) == [1, 2, 3]
