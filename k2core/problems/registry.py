"""The families, by name."""

from k2core.problems.arithmetic import Compare, ProductWithTool, SumMental, SumWithTool
from k2core.problems.family import Family
from k2core.problems.functions import LinearFunction, TextFunction
from k2core.problems.instructions import FollowFormat, PickWord, RepeatWord
from k2core.problems.ledger import Transfer
from k2core.problems.pairs import LookupPair, NoTool
from k2core.problems.records import Correction, Lookup, LookupChain, Retry

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        SumMental(),
        SumWithTool(),
        ProductWithTool(),
        Compare(),
        Lookup(),
        LookupChain(),
        Retry(),
        Correction(),
        LookupPair(),
        NoTool(),
        Transfer(),
        LinearFunction(),
        TextFunction(),
        RepeatWord(),
        FollowFormat(),
        PickWord(),
    )
}
"""One object a family; they hold no state."""
