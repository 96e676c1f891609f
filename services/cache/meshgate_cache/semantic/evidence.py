"""Whether everything in which two texts differ is known to change nothing. Pure; English.

The facts (`verifier`) are kinds of difference that are known to matter; a kind that nobody thought of is none
of them, and vectors see little of one rare word. So the burden of proof is turned round here: each word
without a like, each ending that differs and each word that moved must be accounted for by something that is
known to leave the question as it is. What is not known is another question.

Invariant: symmetric in its two texts.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import Final

from meshgate_cache.semantic import vocabulary as v
from meshgate_cache.semantic.reading import NO_ENDING, Facts, stem
from meshgate_cache.semantic.related import FORGOTTEN, LIKENED, OF_KIND, PREDICATES, VERBS_OF_KIND

_VAGUE: Final = frozenset({"open", "how", "yes/no"})
_INERT: Final = frozenset(
    v.listed(
        """
        a an the its is are am be was were do does did have has had will would shall should can
        could may might must to of in on at by for from with i me my you your one we our us there please
        what which who whom whose when where why how perform
        """
    )
)
_LINKING: Final = frozenset(v.listed("of for in on at from to with by during a an the my your our"))
_COMPARING: Final = frozenset({"and", "between", "from", "vs", "versus"})
_LINKS: Final = frozenset({"of", "for", "in", "on", "at", "from", "with", "during"})
_CONTAINERS: Final = frozenset(v.listed("bottle cup glas box bag can jar pot tin bowl mug"))
_IRREGULAR: Final = frozenset(v.listed("made written wrote sold bought sent paid found built given taken"))
_THINGS: Final = frozenset(v.listed("shipping booking meaning parking housing training"))
_CLOSING: Final = frozenset(v.listed("between during without against behind beside than"))
_OWNERS: Final = frozenset(v.listed("my our your his her their whose"))
_THIRD_OWNERS: Final = frozenset(v.listed("his her their whose"))
_PRONOUNS: Final = frozenset(v.listed("i me we us you he him she they them it one someone people"))
_ANYBODY: Final = frozenset(v.listed("i we you one"))
_ALIKE: Final = tuple(  # where all else is equal
    frozenset(v.listed(words))
    for words in (
        "a an the my your",
        "is are",
        "was were",
        "do does",
        "have has",
        "can could may",
        "what which",
        "in on at",
        "who whom",
    )
)
_GENERIC: Final = frozenset({"a", "an"})
_DETERMINERS: Final = frozenset(
    v.listed(
        "a an the my your our his her its their this that these those each every any some no all both one"
    )
)
_JOINING: Final = frozenset({"and", "or", "vs", "versus"})
_SMALL: Final = _JOINING | _DETERMINERS
_EXPLETIVE: Final = re.compile(r"\b(?:is it|it is|it takes?)\b")
_FOCUSING: Final = frozenset(
    v.listed(
        """
        only just even also not never no still already yet too all both each every almost exactly quite very
        so
        """
    )
)
_NEAR_LINKS: Final = frozenset({"of", "for", "in", "on", "at"})
_DOES: Final = frozenset({"do", "does", "did"})
_IS: Final = frozenset({"is", "are", "was", "were"})
_BEING: Final = frozenset(v.listed("is are was were be been am has have had get gets got"))
_SUBJECTS: Final = frozenset(v.listed("to i you we one people they can should must may do does did help let"))
_BEFORE_GERUND: Final = frozenset(v.listed("for of in by is when while at on to i learn start begin"))
_ASKS_FOR_THINGS: Final = frozenset({"what", "who", "where"})
_WHICH_MAY_LACK: Final[dict[str, frozenset[str]]] = {
    "can": frozenset({"how", "where"}),
    "should": frozenset({"how", "what"}),
    "would": frozenset({"how"}),
    "must": frozenset({"how"}),
}


def unexplained(a: Facts, b: Facts) -> bool:
    """Whether anything differs of which it is not known that it changes nothing."""
    return (
        _words_left(a, b)
        or any(not explains(a, b, word) for word in _inflected(a, b))
        or _modals_left(a, b)
        or _moved(a, b)
        or (("from" in a.surfaces) != ("from" in b.surfaces) and a.words == b.words)
        or ("had" in a.surfaces) != ("had" in b.surfaces)
        or ("past" in a.tenses) != ("past" in b.tenses)
        or _owners_differ(a, b)
        or _small_words_differ(a, b)
        or (bool(a.signs or b.signs) and (a.signs, a.wording) != (b.signs, b.wording))
        or _focused(a) != _focused(b)
        or _led(a, b)
        or _does_and_is(a, b)
        or _forms_exchanged(a, b)
    )


def _words_left(a: Facts, b: Facts) -> bool:
    """Words of one text that neither the other has, nor the question's kind, nor a related word tells."""
    left, right = Counter(a.tokens), Counter(b.tokens)
    only_a, only_b = _telling(left - right, a), _telling(right - left, b)
    kinds = a.question & b.question
    told = FORGOTTEN.union(*(OF_KIND.get(kind, frozenset()) for kind in kinds))
    if _compares(a) and _compares(b):
        told |= _COMPARING
    if a.negation_count and b.negation_count:
        told |= {"any"}
    if VERBS_OF_KIND & only_a and VERBS_OF_KIND & only_b:
        told -= VERBS_OF_KIND
    return _lonely(only_a, b, only_b, told) or _lonely(only_b, a, only_a, told)


def _compares(text: Facts) -> bool:
    """What is the difference between them, how do they differ."""
    return "difference" in text.tokens


def _telling(words: Counter[str], text: Facts) -> set[str]:
    """Without small words, without numbers, which are facts, and without an "it" that stands for nothing."""
    left = {word for word in words if not (word[0].isdecimal() or word in v.MULTIPLIERS)} - _INERT
    return left - {"it"} if _EXPLETIVE.search(" ".join(text.surfaces)) else left


def _lonely(words: set[str], other: Facts, others: set[str], told: frozenset[str]) -> bool:
    return any(
        word not in told
        and LIKENED.get(word, frozenset()).isdisjoint(others)
        and not (word in other.all_words and word not in v.FUNCTION_WORDS)
        for word in words
    )


def _inflected(a: Facts, b: Facts) -> Iterator[str]:
    """Content words of both texts that none of the two has in a form of the other."""
    forms_a, forms_b = _forms(a), _forms(b)
    for word in forms_a.keys() & forms_b.keys():
        if forms_a[word].isdisjoint(forms_b[word]):
            yield word


def _forms(text: Facts) -> dict[str, set[str]]:
    forms: dict[str, set[str]] = {}
    for token, surface in zip(text.tokens, text.surfaces, strict=True):
        fact = token[0].isdecimal() or surface in v.UNITS or surface in v.DATES
        if not fact and token not in v.FUNCTION_WORDS:
            forms.setdefault(token, set()).add(surface)
    return forms


def explains(a: Facts, b: Facts, word: str) -> bool:
    """Whether the ending in which a word differs says nothing here."""
    return any(_form_explained(a, at_a, b, at_b) for at_a in _places(a, word) for at_b in _places(b, word))


def _places(text: Facts, word: str) -> list[int]:
    return [at for at, token in enumerate(text.tokens) if token == word]


def _form_explained(a: Facts, at_a: int, b: Facts, at_b: int) -> bool:
    first, second = a.surfaces[at_a], b.surfaces[at_b]
    endings = (_ending(first), _ending(second))
    if endings[0] > endings[1]:
        return _form_explained(b, at_b, a, at_a)
    synonyms = stem(first) != stem(second)
    if endings[0] == endings[1]:
        return synonyms
    if not (synonyms or _is_form(first, second, endings[1])):
        return False
    if endings == ("", "s"):
        return _number_explained(a, at_a, b, at_b)
    kinds = a.question & b.question
    if endings == ("", "ing") and not kinds.isdisjoint(("why", "hour", "day")):
        return not _BEING.isdisjoint(b.surfaces)
    if endings == ("", "ing"):
        how_to = at_b > 1 and b.surfaces[at_b - 2 : at_b] == ("how", "to")  # of "the process of applying"
        before = _before(b, at_b)
        return _before(a, at_a) in _SUBJECTS and (not at_b or how_to or before in _BEFORE_GERUND)
    if endings == ("", "ed"):
        can_i = at_b > 1 and b.surfaces[at_b - 2 : at_b] == ("can", "i")  # of "can it be cured"
        being = not _BEING.isdisjoint(b.surfaces)
        return being or can_i or "did" in a.surfaces or _before(b, at_b) == "to"
    if endings == ("ing", "s"):
        return "why" in kinds
    return endings == ("", "ly") and (synonyms or a.words != b.words)


def _is_form(word: str, other: str, ending: str) -> bool:
    """Whether it is made by the ending, as "plans" is of "plan" and "planes" is not."""
    if _ending(word):
        return True
    if word.endswith("e"):
        made = {word + ending, word[:-1] + ending}
    elif ending == "s":
        hisses = word.endswith(("s", "x", "ch", "sh", "z"))
        made = {word + "es"} if hisses else {word + "s", word[:-1] + "ies"}
    else:
        made = {word + ending, word + word[-1] + ending, word[:-1] + "i" + ending}
    return other in made or other in _IRREGULAR


def _ending(word: str) -> str:
    if word in _IRREGULAR:
        return "ed"
    if word in NO_ENDING or word in _THINGS:
        return ""
    for ending in ("ing", "ed", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return ending
    return "s" if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3 else ""


def _before(text: Facts, at: int) -> str:
    return text.surfaces[at - 1] if at else ""


def _number_explained(one: Facts, at_one: int, many: Facts, at_many: int) -> bool:
    """ "A stain" for "stains" where any is meant, what has no singular, and verbs: I sell, it sells."""
    word = one.tokens[at_one]
    kinds = one.question & many.question
    if any(word in OF_KIND.get(kind, ()) for kind in kinds) or word in PREDICATES:
        return True
    if _before(many, at_many) in ("it", "he", "she", "who", "what"):
        return True
    if "does" in one.surfaces and "does" not in many.surfaces and at_one > one.surfaces.index("does"):
        return True
    if "open" in kinds or ("yes/no" in kinds and "there" not in one.surfaces):
        return False
    asks = not kinds.isdisjoint(_ASKS_FOR_THINGS) and not (_compares(one) and _compares(many))
    if asks and (_is_asked_for(one, at_one) or _is_asked_for(many, at_many)):
        return False
    before = _determiner(one, at_one)
    if before in ("my", "our") and "how" in kinds and before == _determiner(many, at_many):
        return True
    return (before in _GENERIC or (not before and "yes/no" in kinds)) and not _determiner(many, at_many)


def _is_asked_for(text: Facts, at: int) -> bool:
    """It stands before the first preposition: a good name, of "what is a good name for a cat"."""
    return not any(token in v.LINKS for token in text.tokens[:at])


def _determiner(text: Facts, at: int) -> str:
    """Of the phrase that the word at a place ends."""
    for word in reversed(text.surfaces[:at]):
        if word in _DETERMINERS:
            return word
        if word in v.FUNCTION_WORDS or word in _CLOSING:
            break
    return ""


def _modals_left(a: Facts, b: Facts) -> bool:
    """A modal that one text has alone, where it says something."""
    kinds = a.question & b.question
    needed = {"must"} if "require" in a.tokens and "require" in b.tokens else set()
    return any(
        kinds.isdisjoint(_WHICH_MAY_LACK.get(word, frozenset())) for word in (a.modals ^ b.modals) - needed
    )


def _focused(text: Facts) -> set[tuple[str, str]]:
    """What is said "only", "not" or "still": the word that comes next."""
    found = set()
    following = ""
    for token, surface in zip(reversed(text.tokens), reversed(text.surfaces), strict=True):
        if surface in _FOCUSING:
            found.add((surface, following))
        elif surface in _PRONOUNS or (token not in _INERT and token not in _SMALL):
            following = token
    return found


def _led(a: Facts, b: Facts) -> bool:
    """A word in both after prepositions that do not say the same: to cough, for a cough."""
    leads_a, leads_b = _leads(a), _leads(b)
    return any(leads_a[word].isdisjoint(leads_b[word]) for word in leads_a.keys() & leads_b.keys())


def _leads(text: Facts) -> dict[str, set[str]]:
    """Of each word after a preposition: what it says; "of", "for" and those of places are one."""
    found: dict[str, set[str]] = {}
    lead = ""
    for surface in text.surfaces:
        if surface in v.LINKS:
            lead = "of" if surface in _NEAR_LINKS else surface
        elif surface not in _DETERMINERS:
            if lead:
                found.setdefault(surface, set()).add(lead)
            lead = ""
    return found


def _does_and_is(a: Facts, b: Facts) -> bool:
    """ "When does it open" asks for a moment, "when is it open" for a time."""
    if (set(_content(a)) ^ set(_content(b))) - {"time"} or "have" in (*a.surfaces, *b.surfaces):
        return False
    does_a, does_b = not _DOES.isdisjoint(a.surfaces), not _DOES.isdisjoint(b.surfaces)
    return does_a != does_b and not _IS.isdisjoint(b.surfaces if does_a else a.surfaces)


def _content(text: Facts) -> tuple[str, ...]:
    """As written, units and dates included."""
    pairs = zip(text.tokens, text.surfaces, strict=True)
    return tuple(surface for token, surface in pairs if token not in v.FUNCTION_WORDS)


def _forms_exchanged(a: Facts, b: Facts) -> bool:
    """Two forms of one word in one text, in another order there: http to https."""
    twice = {token for text in (a, b) for token, forms in _forms(text).items() if len(forms) > 1}
    return any(
        [a.surfaces[at] for at in _places(a, token)] != [b.surfaces[at] for at in _places(b, token)]
        for token in twice
    )


def _owners_differ(a: Facts, b: Facts) -> bool:
    """ "My" and "your" may be missing on one side ("the app", "your app"); "his" is somebody's."""
    owners_a, owners_b = _OWNERS.intersection(a.surfaces), _OWNERS.intersection(b.surfaces)
    return owners_a != owners_b and bool((owners_a and owners_b) or (owners_a ^ owners_b) & _THIRD_OWNERS)


def _small_words_differ(a: Facts, b: Facts) -> bool:
    """Pronouns on both sides; one small word for another; or texts that have no other words."""
    if not (a.words or b.words) and Counter(a.tokens) != Counter(b.tokens):
        return True
    persons_a, persons_b = _PRONOUNS.intersection(a.surfaces), _PRONOUNS.intersection(b.surfaces)
    only_a, only_b = persons_a - persons_b, persons_b - persons_a
    anybody = only_a | only_b <= _ANYBODY and not (a.question & b.question).isdisjoint(("how", "where"))
    if only_a and only_b and not anybody:
        return True
    if len(a.surfaces) != len(b.surfaces):
        return False
    pairs = [pair for pair in zip(a.tokens, b.tokens, strict=True) if pair[0] != pair[1]]
    return len(pairs) == 1 and not any(kind.issuperset(pairs[0]) for kind in _ALIKE)


def _moved(a: Facts, b: Facts) -> bool:
    """Two words that stand in another order, and are no "capital of Peru" for "Peru's capital"."""
    if _compares(a) and _compares(b):
        return False
    words = [token for token in a.tokens if token not in v.FUNCTION_WORDS]
    others = [token for token in b.tokens if token not in v.FUNCTION_WORDS]
    common = [word for word in dict.fromkeys(words) if word in others]
    place = {word: others.index(word) for word in common}
    moved = (
        (first, second)
        for first, second in combinations(common, 2)
        if place[first] > place[second] and not (_is_predicate(first) or _is_predicate(second))
    )
    return any(
        not (_compound(a, b, *pair) or _compound(b, a, *reversed(pair)) or _joined(a, b, *pair))
        for pair in moved
    )


def _joined(a: Facts, b: Facts, first: str, second: str) -> bool:
    """ "A and B" for "B and A"."""
    both = (_between(a, first, second), _between(b, second, first))
    return all(not _JOINING.isdisjoint(words) and _SMALL.issuperset(words) for words in both)


def _is_predicate(word: str) -> bool:
    return word in PREDICATES or (word.endswith("est") and len(word) > 5)


def _compound(linked: Facts, plain: Facts, first: str, second: str) -> bool:
    """`first` leads to `second` by a preposition here, and follows it without one there."""
    if first in _CONTAINERS:
        return False
    links, small = _LINKS, _LINKING
    if linked.surfaces[-1] in ("have", "has", "got"):  # which symptoms does it have: its symptoms
        links, small = links | {"do", "does"}, small | {"do", "does"}
    between, beside = _between(linked, first, second), _between(plain, second, first)
    small = small | set(linked.words)
    return (
        not links.isdisjoint(between)
        and small.issuperset(between)
        and (_LINKS | {"to", "by"}).isdisjoint(beside)
    )


def _between(text: Facts, first: str, second: str) -> frozenset[str]:
    start, end = text.tokens.index(first), text.tokens.index(second)
    return frozenset(text.tokens[start + 1 : end])
