"""Two names that changed places are seen; what moves with its preposition or verb is not."""

import random

import pytest

from bench.paraphrases import make_pairs
from k2core.rephrase.roles import count_exchanged


@pytest.mark.parametrize(
    ("source", "rewrite", "exchanged"),
    [
        ("Brutus killed Caesar in Rome.", "In Rome Caesar killed Brutus.", True),
        (
            "Freud was born in Vienna, a son of Jacob.",
            "Jacob was born in Vienna, a son of Freud.",
            True,
        ),
        ("Vivaldi taught Anna in Venice.", "Vivaldi taught Venice in Anna.", True),
        ("Ada founded Boston.", "Boston was founded by Ada.", False),
        ("Paris is the capital of France.", "The capital of France is Paris.", False),
        ("Rome beat Carthage and Macedon.", "Macedon and Carthage were beaten by Rome.", False),
        ("It borders Chad, Niger and Mali.", "It borders Mali, Niger and Chad.", False),
        ("In 1990 Germany beat Argentina.", "Argentina lost to Germany in 1990.", False),
        ("Ada was an American poet.", "Who was Ada?\nAmerican poet.", False),
    ],
)
def test_names_that_took_each_others_place(source: str, rewrite: str, exchanged: bool) -> None:
    assert bool(count_exchanged(source, rewrite)) == exchanged


def test_many_of_planted_exchanges_and_no_faithful_paraphrase() -> None:
    pairs = make_pairs(60, random.Random(3))
    found = {
        kind: [bool(count_exchanged(p.source, p.rewrite)) for p in pairs if p.kind == kind]
        for kind in ("faithful", "roles turned", "exchanged numbers", "opposite")
    }
    turned = found.pop("roles turned")
    assert sum(turned) > 0.4 * len(turned) > 10
    assert not any(map(any, found.values()))
