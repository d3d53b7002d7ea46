"""What is chosen shard by shard is what one look at all documents would choose."""

import hashlib
import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k2core.pieces import Crew, Made, Piece, made_file
from k2core.store import Store, StoredFile
from k2core.tokenize import cuts
from k2core.tokenize.encode import DomainTotals, EncodedShards
from k2core.tokenize.mixture import CHOSEN, Selection, select_documents
from schemas.tokenize import TokenizeConfig

Row = tuple[str, str, str, int, float]
"""Id, parent, domain, tokens, weight."""
_CONFIG = TokenizeConfig(mixture={"web": 0.7, "code": 0.3}, heldout_frac=0.1, max_epochs=10**6)


def draw_rows(rng: random.Random, num: int) -> list[Row]:
    """Documents of two domains, some wanted more than once, and rewrites of them."""
    rows: list[Row] = []
    for number in range(num):
        domain = ("web", "code")[number % 2] if number < 4 else rng.choice(("web", "web", "code"))
        rows.append((f"d{number}", f"d{number}", domain, rng.randint(1, 90), rng.uniform(1, 2)))
    for _, parent, domain, _, _ in rng.sample(rows, num // 4):
        rows.append((f"{parent}#{domain}", parent, domain, rng.randint(1, 90), 1.0))
    return rows


def select(rows: Sequence[Row], size: int, config: TokenizeConfig, folder: Path) -> Selection:
    """In shards of so many documents."""
    files, totals = list[StoredFile](), dict.fromkeys({row[2] for row in rows}, DomainTotals())
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(rows), size):
        names = ["doc_id", "parent_id", "domain", "num_tokens", "weight"]
        frame = pl.DataFrame(rows[first : first + size], names, orient="row")
        files.append(made_file(folder / f"{first:06d}.parquet"))
        frame.write_parquet(files[-1].path)
    workspace = Store(folder).workspace("select")
    crew = Crew(workspace, 0)
    return select_documents(config, EncodedShards([], files, totals), crew, workspace.scratch)


def read_chosen(shards: Sequence[Made], split: str) -> list[str]:
    tables = pl.concat([pl.read_parquet(made.open(CHOSEN)) for made in shards])
    return tables.filter(split=split).sort("domain", maintain_order=True)["doc_id"].to_list()


def choose_plainly(rows: Sequence[Row], config: TokenizeConfig) -> dict[str, list[str]]:
    """All documents sorted by their hashes."""

    def draw(doc_id: str, salt: str) -> str:
        return hashlib.sha256(f"{salt}\0{doc_id}".encode()).hexdigest()

    found: dict[str, list[str]] = {"train": [], "heldout": []}
    for domain in sorted(config.mixture):
        own = [row for row in rows if row[2] == domain]
        originals = sorted((r[0] for r in own if r[0] == r[1]), key=lambda i: draw(i, "held out"))
        held_out = set(originals[: math.ceil(config.heldout_frac * len(originals))])
        found["heldout"] += [row[0] for row in own if row[0] in held_out]
        pool, taken = [], list[tuple[tuple[int, int], str]]()
        for place, (doc_id, parent, _, tokens, weight) in enumerate(own):
            if parent in held_out:
                continue
            part = int(draw(doc_id, "copies")[:12], 16) / 16**12 < weight % 1
            for copy in range(int(weight) + part):
                key = (doc_id == parent, draw(doc_id, f"sample{copy or ''}"))
                pool.append((key, (place, copy), doc_id, tokens))
        left = round(config.mixture[domain] * (config.train_tokens or 0))
        for _, where, doc_id, tokens in sorted(pool):
            if left > 0:
                taken.append((where, doc_id))
            left -= tokens
        found["train"] += [doc_id for _, doc_id in sorted(taken)]
    return found


@given(
    seed=st.integers(0, 2**32),
    num=st.integers(8, 90),
    size=st.integers(1, 90),
    asked=st.integers(1_000, 6_000),
    most=st.sampled_from([1, 5, 100_000]),
    digits=st.integers(1, 3),
)
@settings(deadline=None, max_examples=15)
def test_shards_choose_what_one_look_at_all_would(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    num: int,
    size: int,
    asked: int,
    most: int,
    digits: int,
) -> None:
    rows = draw_rows(random.Random(seed), num)
    config = _CONFIG.model_copy(update={"train_tokens": asked})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuts, "_MOST", most)
        patch.setattr(cuts, "_DIGITS", digits)
        made = select(rows, size, config, tmp_path_factory.mktemp("select"))
    wanted = choose_plainly(rows, config)
    for split, ids in wanted.items():
        assert read_chosen(made.shards, split) == ids


def test_the_driver_looks_at_few_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lists `_MOST` keys a domain, and sums of 4,096 prefixes, whatever the corpus."""
    monkeypatch.setattr(cuts, "_MOST", 3)
    monkeypatch.setattr(cuts, "_DIGITS", 1)
    told = Counter[str]()
    for num in (400, 3_200):
        rows = draw_rows(random.Random(0), num)
        config = _CONFIG.model_copy(update={"train_tokens": 20 * num})
        made = select(rows, num // 4, config, tmp_path / f"{num}")
        assert len(read_chosen(made.shards, "train")) > num // 4
        passes = made.shards[0].folder.parent.parent
        for table in passes.rglob("listed.parquet"):
            told[f"listed {num}"] += len(pl.read_parquet(table))
        for table in passes.rglob("counts.parquet"):
            assert len(pl.read_parquet(table)) <= 2 * 2 * 16  # domains, kinds, digits
    assert 0 < told["listed 3200"] <= 2 * 2 * 3  # searches, domains, keys
    assert 0 < told["listed 400"] <= 2 * 2 * 3


def test_equal_keys_are_taken_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts, "_MOST", 3)
    key = hashlib.sha256(b"").hexdigest()
    pl.DataFrame({"domain": "web", "key": [key] * 20, "amount": 1}).write_parquet(tmp_path / "keys")
    workspace = Store(tmp_path).workspace("cuts")
    found = cuts.find_cuts(
        pl.read_parquet,
        [Piece((made_file(tmp_path / "keys"),))],
        lambda sizes: {"web": sizes["web"] // 10},
        Crew(workspace, 0),
        workspace.scratch / "equal",
    )
    assert found == {"web": cuts.DomainCut(key, 20)}
