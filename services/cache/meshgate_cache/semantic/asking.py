"""What kind of answer a question wants: a time, a price, a person, a way to do something. Pure; English.

The kind is read from the question word and from the noun or verb beside it, because "what is the price of",
"what does it cost" and "how much is" ask for the same thing. Several kinds are possible where the words leave
it open ("what is the length": of time or of space).

Invariant: two questions ask alike iff they have a kind in common, or one of them asks openly.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from meshgate_cache.semantic.vocabulary import listed

OPEN: Final = frozenset({"open"})
YES_NO: Final = frozenset({"yes/no"})
_PASSIVE = re.compile(r"\b(?:who|what) (?:is|are|was|were|has been|have been) (?:\w+ )?by (?!who|what|which)")
_SENTENCE = re.compile(r"(?<=[?.!])\s+(?=\S*\w)")


def _table(text: str) -> dict[str, frozenset[str]]:
    """Lines of "kind kind: word word ..."."""
    table: dict[str, frozenset[str]] = {}
    for line in text.strip().splitlines():
        kinds, _, words = line.partition(":")
        for word in words.split():
            table[word] = table.get(word, frozenset()) | {
                kind.strip().replace("_", " ") for kind in kinds.split()
            }
    return table


# Of "what is the ..." and "which ...": the noun that says what is wanted.
NOUNS: Final = _table(
    """
    day: date day deadline
    month: month
    year: year
    hour: hours
    hour how_long: time times
    how_long: duration lifetime lifespan life period term
    how_long how_far how_tall: length
    how_many: number count quantity
    how_much: price prices cost costs fee fees amount salary rate charge wage income rent dosage dose
    how_much: pay
    how_much how_big: size limit
    how_far: distance
    how_old: age
    how_fast: speed velocity
    how_big how_many: population
    how_big: area
    how_tall: height altitude
    how_deep: depth
    how_heavy: weight mass
    how_hot: temperature
    how_often: frequency interval intervals
    where: address location place origin
    why: reason reasons cause causes
    how: way ways method methods process procedure steps step command shortcut technique
    who: person people author inventor founder owner discoverer artist artists scientist name
    """
)
# Of "what does it ...".
VERBS: Final = _table(
    """
    how_much: cost costs earn earns charge charges pay pays
    how_heavy: weigh weighs
    """
)
# The word after "how".
MEASURES: Final = _table(
    """
    how_much: much expensive
    how_much how_tall: high
    how_many: many
    how_long: long
    how_fast how_long: fast quickly quick
    how_long day hour: soon
    how_often: often frequently frequent
    how_far: far
    how_old: old
    how_tall: tall
    how_big: big large
    how_deep: deep
    how_heavy: heavy
    how_hot: hot warm cold
    how_wide: wide
    how_hard: hard difficult easy
    how_safe: safe
    hour day: early late
    """
)
# The word after "how many" or "how much".
COUNTED: Final = _table(
    """
    how_long: time seconds minutes hours days weeks months years
    how_far: metres meters kilometres kilometers miles
    how_hot: degrees
    how_much: dollars euros pounds
    how_often: times
    """
)
_AUXILIARIES: Final = frozenset(
    listed("is are was were do does did can could may might must should shall will would has have had")
)
_ENDS_PHRASE: Final = _AUXILIARIES | frozenset(
    listed("of for to that in on at between when if with than by from")
)
_PLAIN: Final[Mapping[str, frozenset[str]]] = (
    {word: frozenset({word}) for word in ("who", "where", "why")}
    | {"when": frozenset({"hour", "day", "month", "year"})}
    | {"whose": frozenset({"who"}), "whom": frozenset({"who"})}
)
_VAGUE: Final = frozenset({"what", "how", "yes/no", "open"})
_ASKED: Final = frozenset({"who", "whom", "what", "which"})
_DOING: Final = frozenset({"do", "does", "did"})
_OFTEN_HOW: Final = frozenset({"can", "could", "do"})
# Where one does these is how one does them, at a desk or on a site.
_DONE_ANYHOW: Final = frozenset(listed("find see check view download track change update redeem report"))
_DIFFERENCE: Final = frozenset({"differ", "different"})  # how does it differ: what is the difference


def asked(text: str) -> frozenset[str]:
    """Of the last sentence that asks for something. `text`: lower case, phrases in one form."""
    sentences = [part for part in _SENTENCE.split(text) if part.strip()]
    asking = [sentence for sentence in sentences if sentence.rstrip().endswith("?")] or sentences[-1:]
    kinds = (_kinds(re.findall(r"[a-z]+", sentence)) for sentence in reversed(asking))
    return next((kind for kind in kinds if kind != OPEN), OPEN)


def alike(a: frozenset[str], b: frozenset[str]) -> bool:
    """Whether one answer can serve both."""
    if a & b:
        return True
    return any(one == OPEN and not other.isdisjoint({"what", "how"}) for one, other in ((a, b), (b, a)))


def asks_for_the_doer(text: str) -> bool | None:
    """True for "who calls her", False for "who does she call" and "who is called by her", else None.

    So, too, "which card accepts you" and "which card do you accept".
    """
    words = re.findall(r"[a-z]+", text)
    if _PASSIVE.search(text):
        return False
    at = next((at for at, word in enumerate(words[:-1]) if word in _ASKED), None)
    if at is None:
        return None
    after = words[at + 1]
    thing = words[at] in ("what", "which") and after not in _AUXILIARIES
    if after in _DOING or (thing and not _DOING.isdisjoint(words[at + 2 : at + 4])):
        return False
    led = thing and at > 0 and words[at - 1] in _ENDS_PHRASE  # at what time
    return None if led or (words[at] == "which" and not thing) or after in _ENDS_PHRASE else True


def excluded(a: frozenset[str], b: frozenset[str]) -> bool:
    """Whether both say exactly what they want, and it is not the same: no wording makes a place of a time."""
    return a.isdisjoint(b) and _VAGUE.isdisjoint(a | b)


def _kinds(words: Sequence[str]) -> frozenset[str]:
    if words and words[0] in _AUXILIARIES:
        return YES_NO
    for at, word in enumerate(words):
        after = words[at + 1 :]
        if word == "how":
            return _how(after)
        if (
            word == "where"
            and after[:1]
            and after[0] in _OFTEN_HOW
            and not _DONE_ANYHOW.isdisjoint(after[2:3])
        ):
            return frozenset({"where", "how"})
        if word in _PLAIN:
            return _PLAIN[word]
        if word in ("what", "which"):
            return _what(after)
    return OPEN


def _how(after: Sequence[str]) -> frozenset[str]:
    if not after or after[0] not in MEASURES:
        return frozenset({"how"}) if _DIFFERENCE.isdisjoint(after) else frozenset({"how", "what"})
    kinds = MEASURES[after[0]]
    return kinds | COUNTED.get(after[1], frozenset()) if after[0] in ("many", "much") and after[1:] else kinds


def _what(after: Sequence[str]) -> frozenset[str]:
    phrase = list(_phrase(after))
    head = next((phrase[at] for at in (-1, 0) if phrase and phrase[at] in NOUNS), None)
    if head is not None:
        return NOUNS[head]
    if after and after[0] in ("do", "does", "did", "will", "would", "may", "can"):
        found = next((VERBS[word] for word in after if word in VERBS), None)
        if found is not None:
            return found | {"what"}
    return frozenset({"what"})


def _phrase(after: Sequence[str]) -> Iterator[str]:
    """The noun phrase that "what" asks for: "price" of what is the price of it, "day" of what day is it."""
    start = 1 if after and after[0] in ("is", "are", "was", "were") else 0
    for word in after[start:]:
        if word in _ENDS_PHRASE:
            return
        yield word
