"""What the score looks at when the verifier found no fact against a pair. Pure.

Who asks the same thing in other words changes much of the sentence; a question that differs only in one place
usually differs in what it asks. So a single change in an otherwise equal frame speaks against a pair.

Invariant: symmetric in the two texts. The order of FEATURES is that of the fitted weights.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

from meshgate_cache.semantic.alignment import Alignment
from meshgate_cache.semantic.reading import Facts
from meshgate_cache.semantic.verifier import Difference, Verdict

FEATURES: Final = (
    "cosine",
    "same wording",  # the verifier: nothing differs
    "words added",  # in one text only, when the other has none of its own
    "words replaced",  # in both texts
    "one place changed",  # one span stands for another, all else is equal
    "question",  # the kind of answer that is wanted seems to differ
    "least aligned",  # the content word that finds the worst like in the other text
    "unaligned more",  # the weight of words without a like, of the text that has more of it
    "unaligned fewer",
)
_COUNT_MAX: Final = 3


def features(a: Facts, b: Facts, verdict: Verdict, cosine: float, alignment: Alignment) -> Sequence[float]:
    """One number for each of FEATURES."""
    fewer, more = sorted(map(len, verdict.unmatched))
    return (
        cosine,
        float(verdict.same),
        float(min(more - fewer, _COUNT_MAX)),
        float(min(fewer, _COUNT_MAX)),
        float(all(_one_place(a.tokens, b.tokens))),
        float(Difference.QUESTION in verdict.soft),
        alignment.least,
        alignment.more,
        alignment.fewer,
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
