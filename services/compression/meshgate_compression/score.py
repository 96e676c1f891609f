"""What each unit of a text is worth: informativeness, redundancy, relevance to a question, position.

Without a question a unit is worth the information its words carry: the rarer in this text and the
longer (in any language long words are rare), the more. With a question, what counts is how many of
its terms the unit, its neighbours and its paragraph share (BM25 over the text's own units and
paragraphs, with inexact matches for terms the text lacks). A unit that says again what an earlier
one said is worth less. Invariants: pure, deterministic, linear in the number of words.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshgate_compression.words import trigrams

Terms = Sequence[str]
Similar = Mapping[str, Sequence[tuple[str, float]]]  # Term of the question -> terms like it, how much.
Wanted = Mapping[str, float]  # Term of the text -> how much a unit gains by it.

PREFIX_CHARS = 3  # Stems that are alike begin alike.
STEM_ALIKE_MIN = 4  # Shorter stems are only ever equal, never similar.
TRIGRAM_ALIKE_MIN = 0.5
EARLIER_UNITS_MAX = 4  # How many earlier units with a term are compared for repetition.


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each consideration counts.

    Insensitive: halving or doubling any one moves the share of answers kept by less than a point.
    """

    paragraph: float = 1.0
    neighbour: float = 0.3
    neighbour_reach: float = 0.5  # How much of a unit's relevance the next one feels.
    topic: float = 0.6
    topic_reach: float = 0.97
    information: float = 0.15
    position: float = 0.05
    redundancy: float = 0.9
    inexact: float = 0.6  # A match by prefix or trigrams, against an exact one.
    saturation: float = 1.2  # BM25's k1.
    length_slope: float = 0.5  # BM25's b.
    length_prior: float = 0.15  # Of a word's self-information, per letter up to ten.


def unit_values(
    units: Sequence[Terms], paragraphs: Sequence[int], question: Terms, weights: Weights
) -> list[float]:
    """The value of each unit, given its terms and the number of its paragraph; at least 0."""
    informative = information(units, weights)
    values = [weights.information * bits for bits in informative]
    for index, paragraph in enumerate(paragraphs):
        if index == 0 or paragraphs[index - 1] != paragraph:
            values[index] += weights.position * informative[index]
    if question:
        for index, relevance in enumerate(_relevance(units, paragraphs, question, weights)):
            values[index] += relevance
    return [
        value * (1 - weights.redundancy * _repeated(share))
        for value, share in zip(values, said_before(units), strict=True)
    ]


def information(units: Sequence[Terms], weights: Weights) -> list[float]:
    """Mean self-information of each unit's terms, from their frequency here and their length; 0..1."""
    counts: Counter[str] = Counter()
    for unit in units:
        counts.update(unit)
    total = sum(counts.values())
    if total < 2:
        return [0.0] * len(units)
    scale = math.log(total)
    bits = {
        term: (1 - weights.length_prior) * math.log(total / count) / scale
        + weights.length_prior * min(len(term), 10) / 10
        for term, count in counts.items()
    }
    return [sum(bits[term] for term in unit) / (len(unit) or 1) for unit in units]


def said_before(units: Sequence[Terms]) -> list[float]:
    """The largest share of each unit's distinct terms that one earlier unit has."""
    holders: dict[str, list[int]] = defaultdict(list)
    shares: list[float] = []
    for index, unit in enumerate(units):
        distinct = set(unit)
        overlaps: dict[int, int] = {}
        for term in distinct:
            earlier = holders[term]
            for holder in earlier:
                overlaps[holder] = overlaps.get(holder, 0) + 1
            earlier.append(index)
            if len(earlier) > EARLIER_UNITS_MAX:
                del earlier[0]
        shares.append(max(overlaps.values(), default=0) / (len(distinct) or 1))
    return shares


def _repeated(share: float) -> float:
    """0 for a share up to one half, rising to 1 for a repetition."""
    return max(0.0, 2 * share - 1) ** 2


def _relevance(
    units: Sequence[Terms], paragraphs: Sequence[int], question: Terms, weights: Weights
) -> list[float]:
    """Relevance of each unit itself, of its neighbours in the paragraph and of the paragraph."""
    similar = _similar(question, units)
    own = _scaled(_bm25(units, _wanted(question, similar, units, weights), weights))
    texts: dict[int, list[str]] = defaultdict(list)
    for unit, paragraph in zip(units, paragraphs, strict=True):
        texts[paragraph].extend(unit)
    joined = list(texts.values())
    wanted = _wanted(question, similar, joined, weights)
    whole = dict(zip(texts, _scaled(_bm25(joined, wanted, weights)), strict=True))
    scores = [
        score + weights.paragraph * whole[paragraph] for score, paragraph in zip(own, paragraphs, strict=True)
    ]
    near = _scaled(_surroundings(own, paragraphs, weights.neighbour_reach))
    topic = _scaled(_surroundings(own, paragraphs, weights.topic_reach))
    return [
        score + weights.neighbour * beside + weights.topic * around
        for score, beside, around in zip(scores, near, topic, strict=True)
    ]


def _surroundings(own: Sequence[float], paragraphs: Sequence[int], reach: float) -> list[float]:
    """What the other units of the paragraph score, each counted less the farther away it is."""
    around = [0.0] * len(own)
    for indices in (range(len(own)), range(len(own) - 1, -1, -1)):
        carried = 0.0
        paragraph = -1
        for index in indices:
            if paragraphs[index] != paragraph:
                carried, paragraph = 0.0, paragraphs[index]
            around[index] += carried
            carried = reach * (carried + own[index])
    return around


def _scaled(scores: Sequence[float]) -> list[float]:
    top = max(scores, default=0.0) or 1.0
    return [score / top for score in scores]


def _wanted(question: Terms, similar: Similar, groups: Sequence[Terms], weights: Weights) -> Wanted:
    """Terms of the groups that answer to the question, weighted by how rare they are (BM25's idf)."""
    frequencies: Counter[str] = Counter()
    for group in groups:
        frequencies.update(set(group))

    def rarity(term: str) -> float:
        frequency = frequencies[term]
        return math.log(1 + (len(groups) - frequency + 0.5) / (frequency + 0.5))

    wanted: dict[str, float] = {}
    for term in dict.fromkeys(question):
        if term in frequencies:
            wanted[term] = rarity(term)
            continue
        for other, likeness in similar.get(term, ()):
            gain = weights.inexact * likeness * rarity(other)
            wanted[other] = max(wanted.get(other, 0.0), gain)
    return wanted


def _similar(question: Terms, groups: Sequence[Terms]) -> Similar:
    """For the question's terms that no group has: the groups' terms that are like them."""
    vocabulary = {term for group in groups for term in group}
    missing = {term: term[:PREFIX_CHARS] for term in question if term not in vocabulary}
    prefixes = set(missing.values())
    near = [term for term in vocabulary if term[:PREFIX_CHARS] in prefixes] if prefixes else []
    return {
        term: [(other, likeness) for other in sorted(near) if (likeness := alike(term, other)) > 0]
        for term in missing
    }


def alike(first: str, second: str) -> float:
    """0 to 1: how surely two different stems are forms of one word: a prefix, or shared trigrams."""
    if first[0].isdigit() or first[:PREFIX_CHARS] != second[:PREFIX_CHARS]:
        return 0.0
    if min(len(first), len(second)) < STEM_ALIKE_MIN:
        return 0.0
    shorter, longer = sorted((first, second), key=len)
    if longer.startswith(shorter):
        return len(shorter) / len(longer)
    left, right = trigrams(first), trigrams(second)
    likeness = 2 * len(left & right) / (len(left) + len(right))
    return likeness if likeness >= TRIGRAM_ALIKE_MIN else 0.0


def _bm25(groups: Sequence[Terms], wanted: Wanted, weights: Weights) -> list[float]:
    """BM25 of each group for the wanted terms."""
    length_mean = sum(map(len, groups)) / (len(groups) or 1) or 1.0
    scores = []
    for group in groups:
        length = 1 - weights.length_slope + weights.length_slope * len(group) / length_mean
        counts: dict[str, int] = {}
        for term in group:
            if term in wanted:
                counts[term] = counts.get(term, 0) + 1
        scores.append(
            sum(
                wanted[term] * count * (1 + weights.saturation) / (count + weights.saturation * length)
                for term, count in counts.items()
            )
        )
    return scores
