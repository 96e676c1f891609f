"""What the score looks at when the verifier found no fact against a pair. Pure.

Who asks the same thing in other words changes much of the sentence; a question that differs only in one place
usually differs in what it asks. So a single change in an otherwise equal frame speaks against a pair.

Invariant: symmetric in the two texts. The order of FEATURES is that of the fitted weights.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

from meshgate_cache.semantic.reading import Facts

FEATURES: Final = (
    "cosine",
    "same wording",  # the verifier: nothing differs
    "words added",  # in one text only, when the other has none of its own
    "words replaced",  # in both texts
    "reordered",  # the same words, small ones included, in another order
    "one place changed",  # one span stands for another, all else is equal
    "one place added",  # one span is in one text only, all else is equal
    "links",  # prepositions and conjunctions in one text only
    "modals",
    "persons",
    "units",
)
_COUNT_MAX: Final = 3


def features(a: Facts, b: Facts, cosine: float, *, same_wording: bool) -> Sequence[float]:
    """One number for each of FEATURES."""
    fewer, more = sorted((len(set(a.words) - b.all_words), len(set(b.words) - a.all_words)))
    place = _one_place(a.tokens, b.tokens)
    changed, added = all(place), any(place) and not all(place)
    return (
        cosine,
        float(same_wording),
        float(min(more - fewer, _COUNT_MAX)),
        float(min(fewer, _COUNT_MAX)),
        float(a.tokens != b.tokens and sorted(a.tokens) == sorted(b.tokens)),
        float(changed),
        float(added),
        float(min(len(a.links ^ b.links), _COUNT_MAX)),
        float(a.modals != b.modals),
        float(a.persons != b.persons),
        float(a.units != b.units),
    )


def _one_place(a: Sequence[str], b: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The two spans, when the texts differ in one place; one of them may be empty. Else both are."""
    first, second = sorted((tuple(a), tuple(b)))  # the matcher is not symmetric
    changes = [
        change
        for change in SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
        if change[0] != "equal"
    ]
    if len(changes) != 1:
        return (), ()
    _, from_start, from_end, to_start, to_end = changes[0]
    return first[from_start:from_end], second[to_start:to_end]
