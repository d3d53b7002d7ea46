import random

import numpy as np
import pytest

from bench.paraphrases import make_pairs
from k2core.rephrase.alignment import count_misplaced
from k2core.rephrase.fidelity import find_fault, score_rewrite
from k2core.rephrase.strength import count_overstated, count_turned
from k2core.rephrase.surface import list_names, list_quantities
from schemas.rephrase import FidelityConfig
from tests.k2core.rephrase.lighthouses import PLACES, faithful, original

LIMITS = FidelityConfig()
SOURCE, GOOD = original(0), faithful(0)


def fault(rewrite: str, *, source: str = SOURCE, cut: bool = False) -> str:
    return find_fault(score_rewrite(source, rewrite, cut), LIMITS)


@pytest.mark.parametrize("number", range(len(PLACES)))
def test_a_faithful_rewrite_passes(number: int) -> None:
    assert fault(faithful(number), source=original(number)) == ""


PLANTED = {
    "a number swapped": (GOOD.replace("1843", "1834"), "loses_numbers"),
    "a number added": (GOOD.replace("cliff", "cliff of 12 colours"), "invents_numbers"),
    "a number in words added": (GOOD.replace("cliff", "cliff of two colours"), "invents_numbers"),
    "an entity swapped": (GOOD.replace("Hanstholm", "Skagen"), "loses_entities"),
    "an entity added": (GOOD.replace("engineers", "engineers from Aalborg"), "invents_entities"),
    "a sentence with a number left out": (
        GOOD.replace("Its lamp guides fishermen from a cliff of chalk that is 65 metres above the "
                     "sea. ", ""),
        "loses_numbers",
    ),
    "most left out": ("In 1843 Danish engineers came to Hanstholm, 65 metres up.", "too_short"),
    "another story told": (
        "In 1843 a Danish painter went to Hanstholm, where he bought 65 metres of canvas and drew "
        "dogs, horses and children playing cards every day until the keepers had all his money.",
        "loses_content",
    ),
    "a story invented around it": (
        "In 1843 Danish engineers built this lighthouse near Hanstholm, 65 metres above many "
        "fishermen, whose keepers secretly collected golden coins, painted curious portraits, "
        "trained clever parrots, brewed bitter coffee, wrote gloomy poetry, hunted silver foxes, "
        "played wooden trumpets, baked enormous pastries, dreamed about distant planets.",
        "invents_content",
    ),
    "a sentence begun with another name": (
        GOOD.replace("Its lamp", "Kowalski").replace("fishermen", "sailors"), "invents_entities"
    ),
    "two numbers exchanged": (
        GOOD.replace("In 1843", "In 65").replace("65 metres", "1843 metres"), "loses_units"
    ),
    "a unit swapped": (GOOD.replace("metres", "feet"), "loses_units"),
    "a negation": (GOOD.replace("guides", "does not guide"), "changes_negation"),
    "a quiet sentence left out": (
        GOOD.split(" For a whole")[0].replace("fisher", "keepers and fisher"), "leaves_out"
    ),
    "a quiet sentence made up": (
        f"{GOOD} A royal commission ordered heavy fines for everybody.", "makes_up"
    ),
    "in another language": (
        "En 1843, quand beaucoup de bateaux avaient fait naufrage, on a construit le phare.",
        "not_english",
    ),
    "copied": (SOURCE, "copies_the_source"),
    "talked about": (f"Here is the rewritten text: {GOOD}", "meta_talk"),
    "its instructions repeated": (f"{GOOD} Rewrite the text in plain English.", "meta_talk"),
    "refused": ("I cannot help with that request.", "meta_talk"),
    "gone in circles": (GOOD + GOOD[-65:] * 2, "repeats_itself"),
    "gone on and on": (GOOD + " It is so." * 40, "too_long"),
    "broken off": (GOOD[:-20], "truncated"),
    "empty": ("", "truncated"),
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_named(planted: str) -> None:
    rewrite, reason = PLANTED[planted]
    assert fault(rewrite) == reason


def test_a_rewrite_that_met_its_limit_is_truncated_however_it_ends() -> None:
    assert fault(GOOD, cut=True) == "truncated"


def test_measures_by_hand() -> None:
    source = "On Monday Ann paid 1,200 crowns for three boats."
    rewrite = "Three boats cost Ann 1200 crowns on Tuesday, 7 in all."
    scores = score_rewrite(source, rewrite, cut=False)
    assert scores["numbers_kept"] == 1  # 1,200 and three
    assert scores["numbers_invented"] == 1  # 7
    assert scores["entities_kept"] == 1 / 2  # Ann, not Monday
    assert scores["entities_invented"] == 1  # Tuesday
    assert scores["content_kept"] == 3 / 5  # three, boats, crown of those with monda and paid
    assert scores["length_ratio"] == 9 / 8
    assert scores["copied"] == scores["repeated"] == scores["meta_talk"] == scores["truncated"] == 0


def test_a_number_may_move_with_its_statement_but_not_to_another() -> None:
    near = np.array([[0.9, 0.2], [0.3, 0.8]])
    assert count_misplaced([{"5"}, {"7"}], [{"5"}, {"7"}], near) == 0
    assert count_misplaced([{"5"}, {"7"}], [{"7"}, {"5"}], near) == 2
    assert count_misplaced([{"5"}, {"7"}], [{"7"}, {"5"}], near[:, ::-1]) == 0  # reordered
    assert count_misplaced([{"5"}, {"7"}], [{"5", "7"}], near[:, :1]) == 0  # joined
    assert count_misplaced([{"5", "7"}], [{"7"}, {"5"}], near[:1]) == 0  # split
    assert count_misplaced([{"5"}, set()], [{"5"}, {"9"}], near) == 0  # invented: counted elsewhere


def test_numbers_without_units_that_changed_places_are_seen() -> None:
    source = "The first ship, of 1843, was built from oak. The second, of 1871, was an iron one."
    exchanged = "Oak was what the first ship was made of in 1871. The second was of iron, in 1843."
    assert score_rewrite(source, exchanged, cut=False)["numbers_misplaced"] == 2
    assert fault(exchanged, source=source) == "misplaces_numbers"
    right = exchanged.replace("1871", "x").replace("1843", "1871").replace("x", "1843")
    assert fault(right, source=source) == ""


def test_copies_and_repeats_are_shares_of_ngrams() -> None:
    scores = score_rewrite("a b c d e f g", "a b c d e x a b c d", cut=False)
    assert scores["copied"] == pytest.approx(1 / 6)
    assert scores["repeated"] == pytest.approx(1 / 7)


def test_every_measure_has_a_limit_that_it_can_miss() -> None:
    passing = score_rewrite(SOURCE, GOOD, cut=False)
    for name, bad in {
        "numbers_kept": 0.9, "numbers_invented": 1.0, "entities_kept": 0.7, "copied": 0.9,
        "entities_invented": 1.0, "content_kept": 0.3, "content_invented": 0.7, "repeated": 0.3,
        "numbers_misplaced": 1.0, "meta_talk": 1.0, "truncated": 1.0, "units_kept": 0.5,
        "units_invented": 1.0, "aligned": 0.5, "covered": 0.5, "grounded": 0.5,
        "verbatim_kept": 0.5, "negations_changed": 1.0, "foreign": 1.0, "length_ratio": 0.4,
    }.items():  # fmt: skip
        assert name in passing
        assert find_fault(passing | {name: bad}, LIMITS), name
    assert find_fault(passing | {"length_ratio": 1.9}, LIMITS) == "too_long"


def test_the_config_moves_the_limits() -> None:
    rewrite = GOOD.replace("1843", "1834")
    scores = score_rewrite(SOURCE, rewrite, cut=False)
    lax = FidelityConfig(min_numbers_kept=0.5, max_numbers_invented=1)
    assert find_fault(scores, lax) == ""


FRENCH = (
    "Le phare de Hanstholm fut construit en 1843 par des ingénieurs danois, après de nombreux "
    "naufrages. Il se dresse sur une falaise de craie, à 65 mètres au-dessus de la mer, et les "
    "pêcheurs se guident sur sa lampe. Les gardiens vivaient à côté de la tour avec leurs familles "
    "pendant un siècle."
)


def test_a_translation_is_held_to_numbers_and_meaning_not_to_words() -> None:
    assert fault(original(0), source=FRENCH) == ""
    assert fault(original(0).replace("1843", "1834"), source=FRENCH) == "loses_numbers"
    other = (
        "In 1843 a painter bought 65 large canvases. He drew dogs and horses. He was poor then. "
        "Later he sold all of them to a rich merchant, who hung them up in his own house."
    )
    assert fault(other, source=FRENCH) in {"strays", "leaves_out", "makes_up"}
    assert fault(FRENCH, source=FRENCH) == "not_english"


def test_code_and_formulas_stay_as_they_are() -> None:
    source = "Call `open(path)` first. Then 12 + 30 = 42, as everybody can see here."
    kept = "As everybody can see here, 12 + 30 = 42, but `open(path)` is called before."
    assert score_rewrite(source, kept, cut=False)["verbatim_kept"] == 1
    lost = score_rewrite(source, kept.replace("30 = 42", "31 = 43"), cut=False)
    assert lost["verbatim_kept"] == 1 / 2


def test_names_that_begin_a_sentence_are_names() -> None:
    assert list_names("Westerhever shone. The keeper slept. Danish ships passed.") == {
        "westerhever",
        "danish",
    }
    assert list_names("Faro is far.", "They saw Faro.") == {"faro"}


def test_quantities_are_numbers_with_units_and_days_with_months() -> None:
    assert list_quantities("65 metres, 1,200 kg, 5% and 14 March 1879") == {
        ("65", "m"), ("1200", "kg"), ("5", "%"), ("14", "march")
    }  # fmt: skip
    assert list_quantities("On March 14, 1879 it was 65 m high") == {("14", "march"), ("65", "m")}


@pytest.mark.parametrize(
    ("source", "rewrite", "turned", "overstated"),
    [
        ("The tower is the largest in the north.", "It is the smallest tower up north.", 1, 0),
        ("The tower is the largest in the north.", "It is the biggest tower up north.", 0, 0),
        ("Sales rose before the war.", "Sales fell before the war.", 1, 0),
        ("Sales rose before the war.", "Prior to the war sales grew.", 0, 0),
        ("Many ships may call here.", "All ships call here.", 0, 1),
        ("Many ships may call here.", "Numerous ships can call here.", 0, 0),
        ("The first and the last ship left.", "The last ship left, as did the first.", 0, 0),
        ("Every ship often calls here.", "Every ship frequently calls here.", 0, 0),
    ],
)
def test_opposites_and_certainties_are_seen(
    source: str, rewrite: str, turned: int, overstated: int
) -> None:
    assert count_turned(source, rewrite) == turned
    assert count_overstated(source, rewrite) == overstated


def test_planted_opposites_and_hedges_are_found_and_faithful_pairs_are_not() -> None:
    """Of each kind at least so much, and of faithful paraphrases none."""
    found: dict[str, list[bool]] = {}
    for pair in make_pairs(120, random.Random(3)):
        texts = pair.source, pair.rewrite
        seen = count_turned(*texts) + count_overstated(*texts) > 0
        found.setdefault(pair.kind, []).append(seen)
    assert not any(found["faithful"])
    assert np.mean(found["opposite"]) > 0.85
    assert np.mean(found["hedge dropped"]) > 0.5
