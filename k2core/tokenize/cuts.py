"""Up to which key documents are taken, where the sum of those before it is less than is asked for.

Nobody holds all keys. Shards count theirs by the first digits; where the sum passes what is asked
for, they count those alone by the digits that follow, until so few are left that they are listed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from k2core.pieces import Crew, Made, Piece

_DIGITS = 3
"""That are counted at once: 4,096 hexadecimal prefixes."""
_MOST = 100_000
"""Keys of a domain that are listed: a second count is for more than 400 M documents."""
_LONGEST = 64
"""Digits of a key, at least: what shares as many is one document's."""
_COUNTS, _LISTED = "counts.parquet", "listed.parquet"

Keyed = Callable[[Path], pl.DataFrame]
"""Of a shard's table `domain`, `key` and `amount` of what may be taken; picklable."""
Asked = Callable[[dict[str, int]], Mapping[str, int]]
"""What is asked for of each domain, by what there is of each."""


class DomainCut(NamedTuple):
    """What is taken of a domain."""

    last: str
    """All keys up to this one; none if it is empty."""
    amount: int
    """Of all that is taken."""


class _Counted(NamedTuple):
    amounts: Counter[tuple[str, str]]
    """By domain and first digits of the key."""
    nums: Counter[tuple[str, str]]
    """Of keys, likewise."""


class _Search(NamedTuple):
    left: int
    """What is asked for of the keys that begin so."""
    before: int = 0
    """The amount of all that come before those."""
    start: str = ""
    num: int = 0
    """Of keys that begin so."""


def find_cuts(
    keyed: Keyed, shards: Sequence[Piece], asked: Asked, crew: Crew, folder: Path
) -> dict[str, DomainCut]:
    """The cut of each domain.

    Args:
        keyed: gives the keys of a shard, which are hexadecimal; equal ones are taken together.
        shards: whose first file `keyed` reads.
        asked: an amount of each domain, maybe more than there is.
        crew: who counts.
        folder: in the scratch folder: the beginning of the names of what is counted.
    """

    def count(level: int, starts: Mapping[str, str]) -> _Counted:
        place = folder.with_name(f"{folder.name}-{level}")
        work = partial(_count, keyed)
        made = crew.make(work, [each._replace(told=starts) for each in shards], place)
        return _add_up(each.open(_COUNTS) for each in made)

    counted = count(0, {})
    totals = Counter[str]()
    for (domain, _), amount in counted.amounts.items():
        totals[domain] += amount
    wanted = asked(dict(totals))
    cuts = {
        domain: DomainCut("~" if amount > 0 else "", totals[domain])  # after all digits
        for domain, amount in wanted.items()
        if amount <= 0 or amount >= totals[domain]
    }
    searches = {n: _Search(amount) for n, amount in wanted.items() if n not in cuts}
    level = 0
    while searches:
        searches = {name: _narrow(name, each, counted) for name, each in searches.items()}
        starts = {name: each.start for name, each in searches.items()}
        level += 1
        if all(each.num <= _MOST or len(each.start) >= _LONGEST for each in searches.values()):
            place = folder.with_name(f"{folder.name}-listed")
            pieces = [each._replace(told=starts) for each in shards]
            listed = list(crew.make(partial(_list, keyed), pieces, place))
            return cuts | {n: _find_last(n, each, listed) for n, each in searches.items()}
        counted = count(level, starts)
    return cuts


def _narrow(domain: str, search: _Search, counted: _Counted) -> _Search:
    """The next digits of the last key that is taken."""
    before = 0
    for of, start in sorted(key for key in counted.amounts if key[0] == domain):
        amount = counted.amounts[of, start]
        if before + amount >= search.left:
            num = counted.nums[of, start]
            return _Search(search.left - before, search.before + before, start, num)
        before += amount
    raise AssertionError(f"{domain}: {search} of {before}")


def _find_last(domain: str, search: _Search, listed: Sequence[Made]) -> DomainCut:
    tables = (pl.read_parquet(made.open(_LISTED)).filter(domain=domain) for made in listed)
    keys = pl.concat(tables).group_by("key").agg(pl.col("amount").sum()).sort("key")
    before = keys["amount"].cum_sum() - keys["amount"]
    taken = keys.filter(before < search.left)
    return DomainCut(str(taken["key"][-1]), search.before + int(taken["amount"].sum()))


def _add_up(counts: Iterable[Path]) -> _Counted:
    found = _Counted(Counter(), Counter())
    for path in counts:
        for domain, start, amount, num in pl.read_parquet(path).iter_rows():
            found.amounts[domain, start] += amount
            found.nums[domain, start] += num
    return found


def _count(keyed: Keyed, files: Sequence[Path], starts: Mapping[str, str], folder: Path) -> None:
    """Write amounts and numbers of keys by their next digits, of those that begin so."""
    digits = max(map(len, starts.values()), default=0) + _DIGITS
    wanted = _within(keyed(files[0]), starts) if starts else keyed(files[0])
    sums = wanted.group_by("domain", pl.col("key").str.slice(0, digits)).agg(
        pl.col("amount").sum(), pl.len().alias("num")
    )
    sums.sort("domain", "key").write_parquet(folder / _COUNTS)


def _list(keyed: Keyed, files: Sequence[Path], starts: Mapping[str, str], folder: Path) -> None:
    """Write the keys that begin so, and their amounts."""
    wanted = _within(keyed(files[0]), starts)
    wanted.select("domain", "key", "amount").write_parquet(folder / _LISTED)


def _within(keys: pl.DataFrame, starts: Mapping[str, str]) -> pl.DataFrame:
    start = pl.col("domain").replace_strict(starts, default=None, return_dtype=pl.String)
    return keys.filter(pl.col("key").str.starts_with(start))
