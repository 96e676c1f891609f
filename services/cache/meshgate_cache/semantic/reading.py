"""What a text says that an answer depends on, as facts that can be compared. Pure; English.

A fact that is missed here can make two questions look alike, so doubtful readings are kept, not dropped:
what is not understood stays a word, and words that do not match leave the decision open.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import groupby
from typing import Final

from meshgate_cache.semantic import asking
from meshgate_cache.semantic import vocabulary as v
from meshgate_cache.semantic.frames import framed
from meshgate_cache.semantic.language import is_foreign
from meshgate_cache.semantic.phrases import PHRASES, POLITENESS
from meshgate_cache.semantic.verbs import one_verb
from meshgate_cache.semantic.word_pairs import SYNONYMS

CHARACTERS_MAX: Final = 600  # about 100 words; the vector of a longer one takes longer than a lookup may
WORDS_KEPT_MAX: Final = 8_192
TEXTS_KEPT_MAX: Final = 512  # with about 6 kB each: what is known is compared again and again
DIGITS_MAX: Final = 15  # longer ones are names of things: compared as they are written

_APOSTROPHE = re.compile("[\u2018\u2019]")
_CODE = re.compile(r"```(.*?)```|`([^`\n]+)`", re.DOTALL)
_QUOTED = re.compile(r"[\"“”«»„](.+?)[\"“”«»]|(?<!\w)'(.+?)'(?!\w)", re.DOTALL)
_LITERAL = re.compile(
    r"https?://\S+|[\w.+-]+@[\w-]+\.[\w.]+|(?:[~/.\\][\w.-]+){2,}|\b\w+(?:_\w+)+\b|\b\w+(?:\.\w+)*\(\)"
    r"|\b[A-Za-z]\w*(?:\.[A-Za-z]\w*)+\b|\b[A-Za-z]+-?\d[\w-]*\b|\b\d+(?:[-/:.]\d+){2,}\b|\b\d+[-/:]\d+\b"
)
_SYMBOLS = re.compile(
    r"[^\w\s.,;:!?'\"()\-\u2013\u2014/…“”«»„$€£¥₹%°&¿¡\u3001\u3002\uff01\uff0c\uff1f]+|\(\W*\)"
)
_TOKEN = re.compile(r"[$€£¥₹]|\d+(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|\d+|%|°[cCfF]|[^\W\d_]+(?:\+\+|#)?")
_SENTENCE_END = re.compile(r"[.!?:]\s+|\n+")
_NEGATIVE = re.compile(r"\b(could|would|should|do|does|did|is|are|was|were|has|have|had|must|ai|wo)n'?t\b")
_NOT_I = re.compile(
    r"\b(can|could|would|should|do|does|did|is|are|was|were|has|have|had) not (i|you|we|they|he|she|it)\b"
)
_CAN_NOT = re.compile(r"\bcan'?t\b|\bcannot\b")
_CONTRACTED = (
    (re.compile(r"\b(what|where|when|who|how|why|it|that|there|here)'s\b"), r"\1 is"),
    (re.compile(r"'s\b"), ""),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'d\b(?= like| love| rather| prefer)"), " would"),
    (re.compile(r"'d\b"), " had"),
    (re.compile(r"'m\b"), " am"),
)
_SMALL_BIT = re.compile(r"(?<![A-Za-z])([KMGT])b(?=s?\b|ps\b)")  # Gb, where GB is eight times as much
_MILLI = re.compile(r"(?<=\d)\s?m(?=(?:W|V|A|J|Hz|Pa)\b)")  # mW, where MW is a milliard times as much
_MINUS = re.compile(r"(?<!\w)[-\u2212\u2013](?=\d)")
_PERFECT = re.compile(
    r"\b(?:has|have|had)\b(?: [\w']+){0,4}? (?:\w+ed|been|done|gone|taken|seen|given|written|shown|known"
    r"|grown|driven|eaten|fallen|forgotten|broken|chosen|spoken|stolen|worn|won|sold|told|paid|sent|spent"
    r"|left|lost|met|kept|held|bought|brought|caught|found|built|heard|led|made|said|become|begun)\b"
)
NO_ENDING: Final = frozenset(  # what looks like an ending belongs to the word
    v.listed(
        """
        apply reply supply family early italy july multiply assembly speed bleed breed exceed proceed succeed
        agreed indeed hundred sacred string spring bring thing something nothing anything everything morning
        evening ceiling sibling wedding
        """
    )
)
_SPELLINGS = (
    (re.compile(r"\b([Ww])i-[Ff]i\b"), "wifi"),
    (re.compile(r"\b([Ee])-(?=mails?\b)"), r"\1"),
    (re.compile(r"\b2FA\b|\b2fa\b"), "two-factor authentication"),
    (re.compile(r"\b[Mm]acOS\b|\bmac ?os\b"), "Mac"),
    (re.compile(r"\bUnited States(?: of America)?\b|\bU\.S\.(?:A\.)?|(?<=\b[Tt]he )US\b"), "USA"),
    (re.compile(r"\bUnited Kingdom\b|\bGreat Britain\b|\bU\.K\."), "UK"),
)
_CODE_SIGN = re.compile(r"\w[(\[{]|[\[\]{}<>=*\\|^~]|[-+/]{2}|[-+*/%&|]=")
_SIGN = re.compile(r"[^\w\s]")
_ARTICLES = {"an": "a"}
_OR_NOT = re.compile(r"\bor not\b")
_INITIALS = re.compile(r"\b(?:[A-Za-z]\.){2,}[A-Za-z]?(?![\w.])")
_TENSES = {"was": "past", "were": "past", "did": "past", "had": "past", "will": "future", "shall": "future"}
_TENSES |= dict.fromkeys(("is", "are", "am", "does", "do"), "present")
_DIRECTIONS = frozenset({"from", "to", "into", "onto", "than", "by", "over", "about", "against"})
_SYMMETRIC = frozenset({"and", "or", "vs", "versus", "between", "difference", "compare", "with"})


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything compared by the verifier. Sets where order does not matter, tuples where it does."""

    numbers: tuple[str, ...]
    units: tuple[str, ...]
    dates: frozenset[str]
    quoted: tuple[str, ...]  # lower case, one space between words
    code: tuple[str, ...]  # exact, but for white space
    literals: frozenset[str]  # addresses, paths, identifiers, versions; lower case
    symbols: tuple[str, ...]  # signs that are no punctuation, and emoji
    signs: tuple[str, ...]  # every sign of a text that has some as code has them
    names: tuple[str, ...]  # capitalised inside a sentence; lower case here
    negation_count: int
    scopes: frozenset[str]
    doer: bool | None  # who calls her: True; who does she call: False
    question: frozenset[str]  # kinds of answer: who, when, how, how many, ..., yes/no, open (`asking`)
    tenses: frozenset[str]
    kinds: frozenset[str]  # members of closed classes, such as countries and colours
    persons: tuple[str, ...]  # in order, each once where it follows itself: who does it to whom
    cases: frozenset[str]  # pronouns whose case tells who does it: she, her
    modals: frozenset[str]
    links: frozenset[str]  # prepositions and conjunctions
    directions: frozenset[tuple[str, str]]  # (preposition, the word it leads to)
    symmetric: bool  # the text joins things whose order does not matter
    words: tuple[str, ...]  # content words in order, as stems of their canonical words
    tokens: tuple[str, ...]  # everything in order, small words included, in canonical form
    surfaces: tuple[str, ...]  # of each token: as it stands once phrases are in one form, lower case
    all_words: frozenset[str]  # every token, lower case
    wording: tuple[str, ...]  # every word and number as written, lower case
    foreign: bool  # not in English: nothing above can be trusted
    readable: bool


@lru_cache(TEXTS_KEPT_MAX)
def read(text: str) -> Facts:
    """The facts of a user's text."""
    readable = len(text) <= CHARACTERS_MAX
    text = _APOSTROPHE.sub("'", text[:CHARACTERS_MAX])
    for pattern, spelling in _SPELLINGS:
        text = pattern.sub(spelling, text)
    text = _INITIALS.sub(lambda match: match.group(0).replace(".", "").upper(), text)
    wording = tuple(re.findall(r"\w+", text.lower()))
    foreign = is_foreign(text)
    code, text = _take(_CODE, text)
    text = _MINUS.sub(" minus ", _MILLI.sub(" milli ", _SMALL_BIT.sub(r"\1bit", text)))
    quoted, _ = _take(_QUOTED, text)
    literals, text = _take(_LITERAL, text)
    symbols, _ = _take(_SYMBOLS, text)
    cased = [token for token, _ in _tokens(text)]
    plain = _rewrite(text)
    tokens = [token for token, _ in _tokens(plain)]
    numbers, units, rest = _numbers(tokens)
    content = [canonical(token) for token in rest if token not in v.FUNCTION_WORDS]
    dates = {v.DATES[token] for token in rest if token in v.DATES}
    dates |= {word for word in v.CAPITALISED_DATES if f" {word.title()}" in f"x{text}"}
    return Facts(
        numbers=tuple(numbers),
        units=tuple(units),
        dates=frozenset(dates),
        quoted=tuple(" ".join(quote.lower().split()) for quote in quoted),
        code=tuple(" ".join(span.split()) for span in code),
        literals=frozenset(item.lower() for item in literals),
        symbols=tuple(symbols),
        signs=tuple(_SIGN.findall(text.rstrip(" ?.!"))) if _CODE_SIGN.search(text) else (),
        names=tuple(_names(text)),
        negation_count=sum(token in v.NEGATIONS for token in tokens),
        scopes=frozenset(name for pattern, name in v.SCOPES if pattern.search(plain)),
        doer=asking.asks_for_the_doer(plain),
        question=asking.asked(plain),
        tenses=_tenses(tokens, plain),
        kinds=v.KINDS.intersection(content),
        persons=_persons(tokens),
        cases=v.PRONOUNS.intersection(tokens),
        modals=frozenset(v.MODALS[token] for token in tokens if token in v.MODALS),
        links=v.LINKS.intersection(tokens),
        directions=frozenset(_directions(rest)),
        symmetric=not _SYMMETRIC.isdisjoint(tokens),
        words=tuple(content),
        tokens=tuple(map(_form, tokens)),
        surfaces=tuple(tokens),
        all_words=frozenset(token.lower() for token in cased) | frozenset(tokens) | frozenset(content),
        wording=wording,
        foreign=foreign,
        readable=readable,
    )


def stem(word: str) -> str:
    """A light stem: plurals and the commonest endings, never below three letters."""
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"), ("xes", "x")):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            return word[: -len(ending)] + instead
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    for ending in ("ing", "ed", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and word not in NO_ENDING:
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


@lru_cache(WORDS_KEPT_MAX)
def canonical(token: str) -> str:
    """The word that stands for a token: of its synonyms, of a country's people, else its stem."""
    if token in v.COUNTRY_OF:
        return v.COUNTRY_OF[token]
    for form in (token, token.removesuffix("s"), stem(token), f"{stem(token)}e"):
        if form in SYNONYMS:
            return SYNONYMS[form]
    for form in (token, token.removesuffix("s")):
        if form in v.KINDS:
            return form
    return stem(token)


def _form(token: str) -> str:
    """What a token has in common with all others that say the same."""
    if token in v.FUNCTION_WORDS:
        return _ARTICLES.get(token, token)
    if token in v.NUMBER_WORDS:
        return str(v.NUMBER_WORDS[token])
    if token[0].isdecimal():
        return token.replace(",", "")
    return v.UNITS.get(token) or v.DATES.get(token) or canonical(token)


def _take(pattern: re.Pattern[str], text: str) -> tuple[list[str], str]:
    """What matches, and the text without it."""
    found = [
        next(part for part in (*match.groups(), match.group(0)) if part) for match in pattern.finditer(text)
    ]
    return found, pattern.sub(" ", text)


def _rewrite(text: str) -> str:
    """Lower case, contractions written out, politeness gone, phrases in one form."""
    text = _CAN_NOT.sub("can not", _NEGATIVE.sub(r"\1 not", text.lower()))
    text = _NOT_I.sub(r"\1 \2 not", text)  # don't I: do I not
    for pattern, instead in _CONTRACTED:
        text = pattern.sub(instead, text)
    text = POLITENESS.sub(" ", _OR_NOT.sub(" ", text))
    for phrase in PHRASES:
        if phrase.literal in text:
            text = phrase.pattern.sub(phrase.form, text)
    return framed(one_verb(" ".join(text.split())))


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    return ((match.group(0), match.start()) for match in _TOKEN.finditer(text))


def _numbers(tokens: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Values and units in order, and the tokens that are neither."""
    numbers: list[str] = []
    units: list[str] = []
    rest: list[str] = []
    value: Decimal | None = None
    for index, token in enumerate(tokens):
        after = tokens[index + 1] if index + 1 < len(tokens) else ""
        number = _number(token, value is not None or after in v.UNITS or after in v.MULTIPLIERS)
        if number is not None:
            joins = value is not None and token in v.NUMBER_WORDS and value % 10 == 0 and value > number
            if value is not None and not joins:
                numbers.append(_plain(value))
            value = value + number if joins and value is not None else number
        elif value is not None and token in v.MULTIPLIERS and value < 10**DIGITS_MAX:
            value *= v.MULTIPLIERS[token]
        else:
            if value is not None:
                numbers.append(_plain(value))
                value = None
            _place(token, tokens[index - 1] if index else "", numbers, units, rest)
    if value is not None:
        numbers.append(_plain(value))
    return numbers, units, rest


def _place(word: str, before: str, numbers: list[str], units: list[str], rest: list[str]) -> None:
    """One word that is no plain number: an ordinal, a unit, or a word."""
    counted = before in ("a", "per", "in", "many", "each", "every") or before.isdecimal()
    if word in v.ORDINALS and not (word == "second" and counted):
        numbers.append(v.ORDINALS[word])
    elif word in ("st", "nd", "rd", "th") and before.isdecimal() and numbers:
        numbers[-1] = f"#{numbers[-1]}"
    elif word in v.UNITS and (len(word) > 2 or counted or not word.isalpha()):
        units.append(v.UNITS[word])
    elif word == "k" and before.isdecimal() and numbers and numbers[-1].isdecimal():
        numbers[-1] = _plain(Decimal(numbers[-1]) * 1_000)
    else:
        rest.append(word)


def _number(word: str, counted: bool) -> Decimal | None:
    """`counted`: the word "one" is a number only in company; alone it is a pronoun."""
    if word in v.NUMBER_WORDS:
        return Decimal(v.NUMBER_WORDS[word]) if counted or word != "one" else None
    if not word[0].isdecimal():
        return None
    return Decimal(word.replace(",", "")) if len(word) <= DIGITS_MAX else None


def _plain(value: Decimal) -> str:
    return format(value.normalize(), "f")


def _names(text: str) -> Iterator[str]:
    """Capitalised words inside a sentence, and acronyms; none when every word is capitalised."""
    words = [(match.group(0), match.start()) for match in re.finditer(r"[^\W\d_]+", text)]
    long_words = [word for word, _ in words if len(word) > 3]
    if long_words and sum(word[0].isupper() for word in long_words) > 0.7 * len(long_words) > 2:
        return
    starts = {0, *(match.end() for match in _SENTENCE_END.finditer(text))}
    for word, start in words:
        first = start in starts or not text[:start].strip()
        acronym = len(word) > 1 and word.isupper()
        plain = word.lower() in v.FUNCTION_WORDS or word.lower() in v.DATES
        if acronym or (word[0].isupper() and not first and not plain):
            name = word[:-1].lower() if word[:-1].isupper() and word.endswith("s") else word.lower()  # PDFs
            yield v.COUNTRY_OF.get(name, name)


def _tenses(tokens: list[str], plain: str) -> frozenset[str]:
    """What has happened is past."""
    found = {_TENSES[token] for token in tokens if token in _TENSES}
    return frozenset(found | {"past"} if _PERFECT.search(plain) else found)


def _persons(tokens: list[str]) -> tuple[str, ...]:
    """Each once where it follows itself: my, to me."""
    return tuple(person for person, _ in groupby(v.PERSONS[word] for word in tokens if word in v.PERSONS))


def _directions(tokens: list[str]) -> Iterator[tuple[str, str]]:
    """Each preposition of direction with the first content word after it."""
    for index, token in enumerate(tokens):
        if token in _DIRECTIONS:
            head = next((word for word in tokens[index + 1 :] if word not in v.FUNCTION_WORDS), None)
            if head is not None:
                yield token, canonical(head)
