"""Whether two user texts ask the same thing, as far as their wording tells. Pure.

It can only say no, with the reason, or leave the matter to a score:

    difference None     the same words, up to order of politeness, synonyms and endings
    difference WORDS    it is worded differently, in ways that are known to change nothing (`evidence`)
    UNEXPLAINED         no fact speaks against it, but something differs of which nothing is known
    any other           a fact differs; no score may overrule it

The first two may hit at any allowed rate of false hits, once a score has looked at them; UNEXPLAINED only
where an operator allows more of them.

Some differences say little where the wording differs anyway ("what does a dentist earn", "how much does a
dentist make"): the SOFT ones. They are facts while each content word of one text is in the other; else they
are left to the score, which holds them against the pair.

Invariants: symmetric in its two texts; a text is the same as itself, unless it is too long to be read.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from meshgate_cache.semantic import asking
from meshgate_cache.semantic import vocabulary as v
from meshgate_cache.semantic.evidence import unexplained
from meshgate_cache.semantic.reading import Facts, read, stem
from meshgate_cache.semantic.word_pairs import OPPOSITES

SUFFIXED_LETTERS_MIN: Final = 3


class Difference(StrEnum):
    """What differs; the first that is found."""

    UNREADABLE = "UNREADABLE"
    LANGUAGE = "LANGUAGE"
    CODE = "CODE"
    QUOTED = "QUOTED"
    NUMBER = "NUMBER"
    UNIT = "UNIT"
    DATE = "DATE"
    NEGATION = "NEGATION"
    OPPOSITE = "OPPOSITE"
    KIND = "KIND"
    NAME = "NAME"
    SCOPE = "SCOPE"
    TENSE = "TENSE"
    PERSON = "PERSON"
    CASE = "CASE"
    MODAL = "MODAL"
    QUESTION = "QUESTION"
    ORDER = "ORDER"
    SMALL_WORD = "SMALL_WORD"
    SUBSTITUTED = "SUBSTITUTED"
    ADDED = "ADDED"
    UNEXPLAINED = "UNEXPLAINED"
    WORDS = "WORDS"


SOFT: Final = frozenset({Difference.QUESTION, Difference.PERSON, Difference.MODAL})


@dataclass(frozen=True, slots=True)
class Verdict:
    """`unmatched`: content words of either text that the other lacks; `soft`: of SOFT, left to the score."""

    difference: Difference | None
    unmatched: tuple[frozenset[str], frozenset[str]]
    soft: frozenset[Difference] = frozenset()

    @property
    def same(self) -> bool:
        """True when nothing differs."""
        return self.difference is None

    @property
    def refused(self) -> bool:
        """True when a fact differs, whatever a score says."""
        return self.difference not in (None, Difference.UNEXPLAINED, Difference.WORDS)

    @property
    def explained(self) -> bool:
        """True when all that differs is known to change nothing."""
        return self.difference in (None, Difference.WORDS)


def verify(stored: str, asked: str) -> Verdict:
    """Compares the text of a stored question with the one asked now."""
    return compare(read(stored), read(asked))


def compare(a: Facts, b: Facts) -> Verdict:
    """As `verify`, for texts that were read before."""
    left, right = frozenset(a.words) - b.all_words, frozenset(b.words) - a.all_words
    differences = _differences(a, b, left, right)
    soft = SOFT.intersection(differences) if left and right else frozenset()
    if asking.excluded(a.question, b.question):
        soft -= {Difference.QUESTION}
    first = next((difference for difference in differences if difference not in soft), None)
    if first in (None, Difference.WORDS) and unexplained(a, b):
        first = Difference.UNEXPLAINED
    return Verdict(first, (left, right), soft)


def _differences(a: Facts, b: Facts, left: frozenset[str], right: frozenset[str]) -> list[Difference]:
    """All of them, in the order in which they are told."""
    checks = (
        (not (a.readable and b.readable), Difference.UNREADABLE),
        ((a.foreign or b.foreign) and a.wording != b.wording, Difference.LANGUAGE),
        ((a.code, a.literals, a.symbols) != (b.code, b.literals, b.symbols), Difference.CODE),
        (_quotes_differ(a, b) or _quotes_differ(b, a), Difference.QUOTED),
        (a.numbers != b.numbers, Difference.NUMBER),
        (_apart(frozenset(a.units), frozenset(b.units)), Difference.UNIT),
        (a.dates != b.dates, Difference.DATE),
        (a.negation_count % 2 != b.negation_count % 2, Difference.NEGATION),
        (_opposite(a, b), Difference.OPPOSITE),
        (a.kinds != b.kinds, Difference.KIND),
        (_names_missing(a, b) or _names_missing(b, a), Difference.NAME),
        (a.scopes != b.scopes, Difference.SCOPE),
        (a.tenses.isdisjoint(b.tenses) and bool(a.tenses and b.tenses), Difference.TENSE),
        (_will(a, b) or _will(b, a), Difference.TENSE),
        (
            _now_and_then(a.all_words, b.all_words) or _now_and_then(b.all_words, a.all_words),
            Difference.TENSE,
        ),
        (_persons_differ(a, b, reworded=bool(left or right)), Difference.PERSON),
        (_cases_differ(a, b) or _cases_differ(b, a) or _roles_differ(a, b), Difference.CASE),
        (a.modals.isdisjoint(b.modals) and bool(a.modals and b.modals), Difference.MODAL),
        (not asking.alike(a.question, b.question), Difference.QUESTION),
        (("perform" in a.words) != ("perform" in b.words), Difference.ORDER),  # what does it do?
        (_order_differs(a, b), Difference.ORDER),
        (_doers_differ(a, b, reworded=bool(left or right)), Difference.ORDER),
        (
            _small_word_exchanged(a.tokens, b.tokens) or _one_link_more(a.tokens, b.tokens),
            Difference.SMALL_WORD,
        ),
        (_substituted(a.tokens, b.tokens), Difference.SUBSTITUTED),
        (bool(left or right) and _only_added(a.tokens, b.tokens), Difference.ADDED),
        (bool(left or right) or _words_differ(a, b), Difference.WORDS),
    )
    return [difference for differs, difference in checks if differs]


def _quotes_differ(a: Facts, b: Facts) -> bool:
    """A quotation of one that the other neither quotes nor has among its words."""
    return any(quote not in b.quoted and not b.all_words.issuperset(quote.split()) for quote in a.quoted)


def _opposite(a: Facts, b: Facts) -> bool:
    """A word of one is replaced by its opposite in the other."""
    only_a, only_b = a.all_words - b.all_words, b.all_words - a.all_words
    pairs = ((first, second) for first in only_a for second in only_b)
    return any(pair in _OPPOSITES for pair in pairs) or _prefixed(only_a, only_b) or _prefixed(only_b, only_a)


def _prefixed(plain: frozenset[str], others: frozenset[str]) -> bool:
    """One has a word, the other the same word with a prefix that turns it round."""
    return any(f"{prefix}{word}" in others for word in plain if len(word) > 3 for prefix in _PREFIXES)


_OPPOSITES: Final = OPPOSITES | {(stem(first), stem(second)) for first, second in OPPOSITES}
_PREFIXES = ("un", "in", "im", "dis", "non", "ir", "il", "mis", "de", "anti")


def _names_missing(a: Facts, b: Facts) -> bool:
    return not b.all_words.union(b.names).issuperset(a.names)


def _apart(a: frozenset[str], b: frozenset[str]) -> bool:
    """Both say something, and not the same."""
    return bool(a and b) and a != b


def _order_differs(a: Facts, b: Facts) -> bool:
    """The same things in other roles: from A to B, A better than B, A does B to C."""
    if any(_turned(a, b, first, second) for first, second in _led_differently(a, b)) or _led_elsewhere(a, b):
        return True
    if a.symmetric and b.symmetric:
        return False
    if (a.words, a.units) != (b.words, b.units) and sorted(a.tokens) == sorted(b.tokens):
        return True
    names = frozenset(a.names) & frozenset(b.names)
    if [name for name in a.names if name in names] != [name for name in b.names if name in names]:
        return True
    return _exchanged(a.words, b.words)


def _led_differently(a: Facts, b: Facts) -> Iterator[tuple[str, str]]:
    """Words that follow the same preposition, each in one text only."""
    for lead in {lead for lead, _ in a.directions}:
        heads_a = {word for at, word in a.directions if at == lead}
        heads_b = {word for at, word in b.directions if at == lead}
        yield from ((first, second) for first in heads_a - heads_b for second in heads_b - heads_a)


def _led_elsewhere(a: Facts, b: Facts) -> bool:
    """One word after different prepositions: to it and from it, by it and about it."""
    for word in {word for _, word in a.directions} & {word for _, word in b.directions}:
        leads_a = {lead for lead, at in a.directions if at == word}
        if leads_a.isdisjoint({lead for lead, at in b.directions if at == word}):
            return True
    return False


def _turned(a: Facts, b: Facts, first: str, second: str) -> bool:
    """Both texts have both words, in opposite order."""
    if not {first, second} <= frozenset(a.words) & frozenset(b.words):
        return False
    before_a = a.words.index(first) < a.words.index(second)
    return before_a != (b.words.index(first) < b.words.index(second))


def _exchanged(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """The same words but for two that changed places across others between them."""
    if len(a) != len(b):
        return False
    places = [index for index, (word_a, word_b) in enumerate(zip(a, b, strict=True)) if word_a != word_b]
    if len(places) != 2 or places[1] - places[0] < 2:
        return False
    return a[places[0]] == b[places[1]] and a[places[1]] == b[places[0]]


def _words_differ(a: Facts, b: Facts) -> bool:
    """In number or order as well, or small words that may matter; texts of small words need all of them."""
    if not (a.words or a.numbers or a.units) and a.all_words != b.all_words:
        return True
    return (a.words, a.units, a.persons, a.modals, a.links) != (
        b.words,
        b.units,
        b.persons,
        b.modals,
        b.links,
    )


def _one_link_more(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """One text is the other with one more preposition or conjunction: to get work, to get to work."""
    shorter, longer = sorted((a, b), key=len)
    more = Counter(longer) - Counter(shorter)
    return len(longer) == len(shorter) + 1 == len(shorter) + more.total() and not v.FIRM_LINKS.isdisjoint(
        more
    )


_PERMITTING: Final = frozenset({"can", "may"})
_THIRD_PERSONS: Final = frozenset({"he", "she", "they"})


def _will(a: Facts, b: Facts) -> bool:
    """What will be in one; the other has no modal and tells no other tense: who will lead, who leads."""
    return "future" in a.tenses and not (b.tenses or b.modals)


def _now_and_then(a: frozenset[str], b: frozenset[str]) -> bool:
    """A verb in both, of the present in one and of the past in the other: captains, captained."""
    present = (word for word in a - b if word.endswith("s") and len(word) > SUFFIXED_LETTERS_MIN)
    return any(not b.isdisjoint((f"{word[:-1]}d", f"{word[:-1]}ed", f"{word[:-2]}ed")) for word in present)


def _persons_differ(a: Facts, b: Facts, *, reworded: bool) -> bool:
    """Other persons; where all else is equal also other roles, and somebody who is spoken of in one only."""
    if not (a.persons and b.persons):
        return not reworded and not _THIRD_PERSONS.isdisjoint((*a.persons, *b.persons))
    return frozenset(a.persons).isdisjoint(b.persons) if reworded else a.persons != b.persons


def _roles_differ(a: Facts, b: Facts) -> bool:
    """The same persons in another order: do I owe you, do you owe me."""
    return a.persons != b.persons and len(a.persons) > 1 and sorted(a.persons) == sorted(b.persons)


def _doers_differ(a: Facts, b: Facts, *, reworded: bool) -> bool:
    """One asks who does it, the other to whom it is done; reworded, only a passive is told for sure."""
    return {a.doer, b.doer} == {True, False} and (not reworded or "by" in a.links ^ b.links)


def _cases_differ(a: Facts, b: Facts) -> bool:
    """Who acts in one is acted on in the other: I see, see me."""
    return any(
        acting in a.cases and acted not in a.cases and acted in b.cases and acting not in b.cases
        for acting, acted in v.CASES
    )


def _small_word_exchanged(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """All is equal but one preposition, conjunction or modal: in an emergency, for an emergency."""
    if len(a) != len(b):
        return False
    pairs = [(first, second) for first, second in zip(a, b, strict=True) if first != second]
    if len(pairs) != 1 or _PERMITTING.issuperset(pairs[0]):
        return False
    return v.EXCHANGEABLE.issuperset(pairs[0])


def _substituted(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """One word for another in an equal frame: vectors do not tell "rising" from "falling"."""
    if len(a) != len(b):
        return False
    pairs = [pair for pair in zip(a, b, strict=True) if pair[0] != pair[1]]
    return len(pairs) == 1 and not v.FUNCTION_WORDS.issuperset(pairs[0])


def _only_added(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """One text is the other with one span more, which narrows what is asked."""
    shorter = min(len(a), len(b))
    start = next((at for at in range(shorter) if a[at] != b[at]), shorter)
    end = next((at for at in range(shorter - start) if a[-1 - at] != b[-1 - at]), shorter - start)
    return start + end == shorter
