"""Tables, records and lists: every value that is read out is the one that stands in the table."""

import json
import random
import re

from hypothesis import given
from hypothesis import strategies as st

from k2core.ingest.tables import read_record, read_table, rearrange_list


@given(st.integers(0, 2**32))
def test_every_value_is_the_tables(seed: int) -> None:
    head, *lines = read_table(random.Random(seed)).split("\n")
    if head.startswith("{"):
        rows = {key: str(value) for key, value in json.loads(head)["rows"].items()}
    else:
        rows = dict(pair.split(" ") for pair in head.split(": ")[1].rstrip(".").split(", "))
    assert len(lines) == len(rows)
    for line in lines:
        value = re.findall(r"\d+", line)[-1]
        assert any(re.search(rf"\b{key}\b", line) and rows[key] == value for key in rows)


@given(st.integers(0, 2**32))
def test_every_field_is_the_records(seed: int) -> None:
    head, *lines = read_record(random.Random(seed)).split("\n")
    record = json.loads(head)
    name = record.pop("name")
    read = {re.findall(r"[Tt]he (\w+) of \"?" + name, line)[0]: line for line in lines}
    assert read.keys() == record.keys()
    assert all(re.findall(r"\d+", read[field])[-1] == value for field, value in record.items())


@given(st.integers(0, 2**32))
def test_every_order_is_what_it_says(seed: int) -> None:
    head, *lines = rearrange_list(random.Random(seed)).split("\n")
    items = head.removeprefix("List: ").split(", ")
    for line in lines:
        order, found = line.split(": ")[0], line.split(": ")[1].split(", ")
        number = int(order.rsplit(" ", 1)[1]) if order[-1].isdigit() else 0
        wanted = {
            "Again": items,
            "From the end": items[::-1],
            f"The first {number}": items[:number],
            f"The last {number}": items[-number:],
            "In order": sorted(items, key=int if items[0].isdigit() else str),
        }
        assert found == wanted[order]
