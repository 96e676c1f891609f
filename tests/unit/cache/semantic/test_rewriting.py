"""Patterns are tried only where they can match, and no match is lost by it."""

import pytest

from meshgate_cache.semantic.frames import FRAMES
from meshgate_cache.semantic.phrases import PHRASES
from meshgate_cache.semantic.rewriting import literal_of
from tools.semantic_pairs import blind_5, blind_9, blind_10, fit


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("capital city", "capital city"),
        ("costs? of", "cost"),
        (r"how (?:do|can) (?:i|we)", "how "),
        (r"u\.k\.|britain", ""),
        ("(?:a|b)c", "c"),
        ("[xyz]? long", " long"),
        ("(a(?:b|c)d)?", ""),
        ("ab{0,2}c", "a"),
        ("be*", "b"),
    ],
)
def test_what_every_match_must_have(pattern: str, literal: str) -> None:
    """Nothing that is optional or one of several."""
    assert literal == literal_of(pattern)


def test_no_match_is_lost() -> None:
    """In every text of some sets of pairs, as it is and as phrases leave it."""
    pairs = [*fit.paraphrases(), *blind_5.traps(), *blind_9.paraphrases(), *blind_10.paraphrases()]
    matched = 0
    for text in sorted({text.lower() for pair in pairs for text in (pair.a, pair.b)}):
        for rule in (*PHRASES, *FRAMES):
            if rule.pattern.search(text):
                matched += 1
                assert rule.literal in text, rule

    assert matched > 500
