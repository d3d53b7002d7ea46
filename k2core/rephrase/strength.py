"""Words whose exchange turns a statement round: opposites, and hedges that became certainties.

Counted over the whole text, since sentences may be split, joined and reordered: a word of a pair is
missed and its opposite is new. Which of two names did it to the other is told by `roles`.
"""

from collections import Counter
from collections.abc import Iterable

from k2core.rephrase.surface import list_words

_OPPOSITES = (
    "north/south northern/southern east/west eastern/western northeast/southwest "
    "northwest/southeast northeastern/southwestern northwestern/southeastern upper/lower "
    "largest,biggest,greatest/smallest,tiniest oldest,earliest/youngest,newest,latest "
    "highest,tallest/lowest,shortest longest/shortest best/worst most/least first/last "
    "before,prior/after,following earlier/later early/late increase/decrease "
    "increased,rose,grew,gained/decreased,fell,shrank,declined increases,rises,grows/"
    "decreases,falls,shrinks increasing,rising,growing/decreasing,falling,shrinking,declining "
    "won,win,wins/lost,lose,loses victory/defeat large,big/small,little,tiny high/low "
    "long/short old,ancient/new,modern hot,warm/cold,cool strong/weak rich,wealthy/poor "
    "more/less,fewer above/below inside,within/outside male/female men/women man/woman "
    "boy/girl boys/girls king/queen father/mother,son mother/daughter son/daughter husband/wife "
    "brother/sister born/died birth/death begin,began,begins,started,starts/end,ended,ends "
    "major/minor positive/negative public/private urban/rural inner/outer internal/external "
    "maximum/minimum majority/minority deep/shallow thick/thin heavy/light wet/dry open/closed "
    "legal,lawful/illegal,unlawful ally,allies/enemy,enemies friend/enemy support,supported/"
    "oppose,opposed success/failure entered/left import,imported/export,exported "
    "left/right buy,bought/sell,sold"
)
_PAIRS = [
    tuple(frozenset(side.split(",")) for side in pair.split("/"))
    for pair in _OPPOSITES.replace("/ ", "/").split()
]
_HEDGES = (
    "some many most several few numerous certain may might can could often usually sometimes "
    "generally typically commonly frequently occasionally probably possibly perhaps likely "
    "mostly mainly largely partly nearly almost about approximately roughly around reportedly "
    "allegedly supposedly normally numbers majority"
)
_CERTAIN = (
    "all every each always must never entirely completely certainly definitely undoubtedly "
    "surely any everyone everything only solely exclusively totally absolutely"
)


def count_turned(source: str, rewrite: str) -> int:
    """Pairs of opposites of which one side lost a word and the other gained one."""
    given, said = Counter(list_words(source)), Counter(list_words(rewrite))
    changes = [(_change(given, said, one), _change(given, said, two)) for one, two in _PAIRS]
    return sum(min(a, b) < 0 < max(a, b) for a, b in changes)


def count_overstated(source: str, rewrite: str) -> int:
    """Words of certainty more than the source has, as many as hedges were dropped."""
    given, said = Counter(list_words(source)), Counter(list_words(rewrite))
    dropped = -_change(given, said, _HEDGES.split())
    return max(0, min(dropped, _change(given, said, _CERTAIN.split())))


def _change(given: Counter[str], said: Counter[str], words: Iterable[str]) -> int:
    return sum(said[word] - given[word] for word in words)
