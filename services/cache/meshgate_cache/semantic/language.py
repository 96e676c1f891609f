"""Whether a text is in English, the one language that the rules read. Pure.

Told by the small words that only English has, against those of its neighbours, against letters that English
does not use, and against words of no language known here. In doubt a text counts as foreign: then only an
equal one, but for case and punctuation, shares its answer.
"""

import re
from typing import Final

from meshgate_cache.semantic.vocabulary import FUNCTION_WORDS, MULTIPLIERS, NUMBER_WORDS, listed

SENTENCE_WORDS: Final = 4  # shorter ones without small words may be English: "reset password"
_WORD = re.compile(r"[^\W\d_]+")

# Small words of other languages that are no English words; names have some of them: El Salvador, Le Mans.
_OTHERS: Final = frozenset(
    listed(
        """
        der das den dem des ein eine einen einem einer und oder nicht ist sind wie wer wo wann warum welche
        welcher welches wieviel ich du er sie es wir ihr mein meine kein keine für mit von zu zum zur auf
        aus bei nach über kann darf muss habe haben wird werden le la les un une du au aux et ou où est sont
        que qui quel quelle quels quelles comment pourquoi quand combien je tu il elle nous vous mon ma mes
        ne pas sur dans avec pour sans ce cette ces el los las del al y o es son qué quién cómo cuándo cuánto
        cuánta cuántos cuántas dónde cuál mi tu su por para con sin en una unos lo gli uno della di che chi
        dove quanto quanti quale perché sono het een van voor niet wat waar hoe zijn ik jij os das dos em não
        onde quanto você är och att det som inte hur vad jag och av på er ikke jeg hvad hvor
        """
    )
)
# Words of English that others have as well.
_SHARED: Final = frozenset(
    listed("a an in on at as so do am die was will me no men her or to we be by n t some of")
)
_REQUESTS: Final = frozenset(
    listed(
        """
        show list explain write give tell make find describe compare translate convert summarise summarize
        define name open delete every all each since before after between without
        """
    )
)
_ENGLISH: Final = (FUNCTION_WORDS | _REQUESTS | NUMBER_WORDS.keys() | MULTIPLIERS.keys()) - _SHARED - _OTHERS


def is_foreign(text: str) -> bool:
    """`text`: as the user wrote it. False for one without words."""
    words = [word.lower() for word in _WORD.findall(text)]
    english = sum(word in _ENGLISH for word in words)
    others = sum(word in _OTHERS or not word.isascii() for word in words)
    if english or others:
        return others > english
    return len(words) >= SENTENCE_WORDS and _SHARED.isdisjoint(words)
