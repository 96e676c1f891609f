"""English words of which it is known when they say nothing new, for `evidence`. Data only."""

from collections.abc import Mapping
from itertools import permutations
from typing import Final

from meshgate_cache.semantic.reading import canonical
from meshgate_cache.semantic.vocabulary import listed

# What may stand for one another where the sentence differs too; in an equal one a word exchanged is a fact.
_GROUPS: Final = """
    get receive arrive deliver
    get obtain find locate see view check look download
    get buy obtain
    get reach
    enable activate setup
    disable stop deactivate
    replace change
    ship deliver
    undo revert
    contact reach call
    accept use take
    sell sold buy
    become turn get
    cause people get reason make why
    live people inhabitant population many
    offer provide exist get sell
    cost charge price much expensive
    send submit
    apply request
    open create make register
    tall height high
    old age
    big size large area
    deep depth
    fast speed velocity
    heavy weight weigh
    far distance away
    hot temperature
    make recipe
    require must necessary
    connect connection
    install installation
    explain mean describe
    stand mean
    if when
    someone user
    """
# Words that say what kind of answer is wanted: nothing new beside a question of that kind.
_TELLING: Final[Mapping[str, str]] = {
    "how long": "take last long time duration length much many second minute hour day week month year",
    "how much": "cost price much",
    "how many": "many number",
    "how far": "far distance away",
    "how tall": "tall high height",
    "how old": "old age",
    "how big": "big large size",
    "how deep": "deep depth",
    "how heavy": "heavy weight weigh",
    "how fast": "fast speed velocity travel go move",
    "how hot": "hot temperature get reach",
    "how often": "often frequent",
    "hour": "time hour soon",
    "day": "day date soon",
    "month": "month",
    "year": "year",
    "how": "way step",
    "why": "so",
    "where": "find locate place",
    "what": "mean",
    "open": "mean",
}
# Of those: verbs. One in each text is another question: how long it takes, how long it lasts.
_TELLING_VERBS: Final = "take last travel go move get reach cost weigh"


def _groups() -> dict[str, frozenset[str]]:
    likened: dict[str, set[str]] = {}
    for line in _GROUPS.strip().splitlines():
        words = {canonical(word) for word in line.split()} | set(line.split())
        for one, other in permutations(words, 2):
            likened.setdefault(one, set()).add(other)
    return {word: frozenset(others) for word, others in likened.items()}


LIKENED: Final[Mapping[str, frozenset[str]]] = _groups()
OF_KIND: Final[Mapping[str, frozenset[str]]] = {
    kind: frozenset({*words.split(), *map(canonical, words.split())}) for kind, words in _TELLING.items()
}
VERBS_OF_KIND: Final = frozenset(canonical(word) for word in listed(_TELLING_VERBS))
# Dropped or added without a change of what is asked.
FORGOTTEN: Final = frozenset({"city"})
# Adjectives and verbs that stand before or after what they are said of.
PREDICATES: Final = frozenset(
    canonical(word)
    for word in listed(
        """
        safe free necessary required possible allowed available included open difference differ cost price
        legal good healthy accepted offer best worst
        """
    )
)
