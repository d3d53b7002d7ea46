"""RefinedWeb's filter of addresses (arXiv:2306.01116, appendix G.1).

As in datatrove's, a hard or soft word is one between signs, and a strict one is looked for in the
address without its signs. Unlike there, case does not matter, and a domain on a list stands for
all of its subdomains, not only for those that are on it too.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from k2core.clean.blocklists import BlockLists, load_lists, shorten, split_words
from k2core.clean.checks import Check, Floats
from schemas.selection import UrlRules

RULE = "url"
_ADDRESS = re.compile(r"(?:^|#)(https?://.+)$", re.IGNORECASE)


def find_address(path: str) -> str:
    """The address in a document's path, `FILE#ADDRESS` or the address alone; empty without one."""
    found = _ADDRESS.search(path)
    return found[1] if found else ""


def check_addresses(paths: Sequence[str], rules: UrlRules) -> list[Check]:
    """The filter on the addresses of documents; one without an address breaks nothing.

    Raises:
        BlockListError: a list cannot be read; the message names file and line.
    """
    lists = load_lists(rules)
    addresses = [find_address(path) for path in paths]
    short = [shorten(address) if address else "" for address in addresses]
    hosts = [address.split("/")[0].split("?")[0].split(":")[0] for address in short]
    words = [set(split_words(address)) for address in addresses]
    levels = [_find_domain(host, lists) for host in hosts]
    return [
        Check(RULE, "blocked_domain", _array(n == 1 for n in levels), 0),
        Check(RULE, "blocked_subdomain", _array(max(0, n - 1) for n in levels), 0),
        Check(RULE, "blocked_address", _array(each in lists.addresses for each in short), 0),
        Check(RULE, "banned_word", _array(len(each & lists.words) for each in words), 0),
        Check(RULE, "banned_subword", _count_subwords(addresses, lists.subwords), 0),
        Check(
            RULE,
            "soft_words",
            _array(len(each & lists.soft_words) for each in words),
            rules.max_soft_words,
        ),
    ]


def _find_domain(host: str, lists: BlockLists) -> int:
    """0: on no list; 1: itself on one; n: n - 1 labels below one that is."""
    labels = host.rstrip(".").split(".")
    tails = (".".join(labels[start:]) for start in range(len(labels)))
    return next((n for n, tail in enumerate(tails, start=1) if tail in lists.domains), 0)


def _count_subwords(addresses: Sequence[str], subwords: Sequence[str]) -> Floats:
    if not subwords:
        return np.zeros(len(addresses))
    joined = pl.Series(["".join(split_words(each)) for each in addresses], dtype=pl.String)
    found = joined.str.extract_many(list(subwords), overlapping=True)
    return found.list.unique().list.len().to_numpy().astype(float)


def _array(values: Iterable[float]) -> Floats:
    return np.array(list(values), float)
