"""What comes out of hostile and odd files, and what is counted of the rest, by kind."""

import io
from collections import Counter

import pytest

from k2core.ingest.folder import read_file
from k2core.ingest.places import File
from k2core.ingest.records import Record, RecordFault
from schemas.ingest import FilesConfig
from tests.k2core.ingest.hostile import WEB, Case
from tests.k2core.ingest.hostile_files import FILES
from tests.k2core.ingest.hostile_mails import MAILS
from tests.k2core.ingest.hostile_rows import ROWS

CASES = {**WEB, **FILES, **MAILS, **ROWS}


def read(case: Case) -> list[Record | RecordFault]:
    config = FilesConfig(
        folder="f", license="MIT", text_field=case.field, max_document_bytes=50_000
    )
    return list(read_file(File(case.name, len(case.data), lambda: io.BytesIO(case.data)), config))


@pytest.mark.parametrize("name", CASES)
def test_what_can_be_read_is_read_and_the_rest_is_counted(name: str) -> None:
    case = CASES[name]
    found = read(case)
    records = [each for each in found if isinstance(each, Record)]
    faults = [each for each in found if isinstance(each, RecordFault)]
    lost: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for fault in faults:
        (left_out if fault.by_rule else lost)[fault.kind] += fault.num
    assert [record.text for record in records] == case.texts, faults
    assert lost == case.lost, faults
    assert left_out == case.left_out, faults
    assert [record.repair for record in records if record.repair] == list(case.repaired)
