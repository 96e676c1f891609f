"""Where the continuation of a broken answer meets what was sent: nothing twice, nothing lost. Pure.

The continuation's first words are held back until it is clear what they are, which takes a few characters
as a rule:

- a continuation: passed on;
- the answer from its beginning again: what equals the text that was sent is dropped;
- its last words again: dropped, unless the text repeats itself there anyway ("ha ha ha"), because then
  nobody can tell a repetition from a continuation, and what a model says is not to be lost;
- a new answer that begins as the old one did, but goes another way: an error, it fits nowhere.

Which of them are possible, the provider's way of prefilling says.
"""

from typing import Final

from meshgate_router.prefill import Echo
from meshgate_router.providers.base import senseless

RESTART_CHARACTERS_MIN: Final = 4  # shorter agreements are chance
ANEW_CHARACTERS_MIN: Final = 24  # so many agree before another way is no continuation
OVERLAP_CHARACTERS_MIN: Final = 12
OVERLAP_CHARACTERS_MAX: Final = 400
WAIT: Final = -1  # it cannot be said yet


class Seam:
    """Of one continuation. `sent`: all text the client has. `trimmed`: white space at its end that was left
    out of the prefix."""

    def __init__(self, sent: str, trimmed: str, echo: Echo) -> None:
        self._sent = sent
        self._trimmed = trimmed
        self._echo = echo
        self._held = ""
        self._decided = False

    def feed(self, text: str) -> str:
        """What is to be passed on. Raises ProviderError when the answer began anew."""
        if self._decided:
            return text
        self._held += text
        return self._settle(last=False)

    def finish(self) -> str:
        """At the end of the text, or before something that is no text."""
        return "" if self._decided else self._settle(last=True)

    def _settle(self, *, last: bool) -> str:
        cut = None if self._echo is Echo.NEVER else self._restarted(last=last)
        if cut is None:
            cut = self._overlap(last=last) if self._echo is Echo.UNKNOWN else self._white_space(last=last)
        if cut == WAIT:
            return ""
        self._decided = True
        return self._held[cut:]

    def _restarted(self, *, last: bool) -> int | None:
        """Characters that were sent already, or WAIT; None: it is no restart."""
        held, sent = self._held, self._sent
        same = _common(held, sent)
        ambiguous = self._echo is Echo.UNKNOWN and (same < RESTART_CHARACTERS_MIN or _repeats_itself(sent))
        if same < len(sent) and same == len(held) and not last:
            return WAIT
        if same in (len(sent), len(held)):
            return None if ambiguous else same
        if same >= ANEW_CHARACTERS_MIN and not ambiguous and self._echo is Echo.UNKNOWN:
            raise senseless("it began anew instead of going on")
        return None

    def _overlap(self, *, last: bool) -> int:
        """Characters to drop, or WAIT."""
        held, tail = self._held, self._sent[-OVERLAP_CHARACTERS_MAX:]
        if held in tail[:-1] and not last:
            return WAIT
        for size in range(min(len(held), len(tail)), OVERLAP_CHARACTERS_MIN - 1, -1):
            if tail.endswith(held[:size]):
                again = self._sent[:-size].endswith(held[size - OVERLAP_CHARACTERS_MIN : size])
                return 0 if again or _repeats_itself(held[:size]) else size
        return self._white_space(last=last)

    def _white_space(self, *, last: bool) -> int:
        """What was left out of the prefix, and said again; or WAIT."""
        if not self._trimmed:
            return 0
        leading = self._held[: len(self._held) - len(self._held.lstrip())]
        if leading == self._held and not last:
            return WAIT
        return _common(leading, self._trimmed)


def _repeats_itself(text: str) -> bool:
    """It is one piece of text again and again, at least twice."""
    start = text[: max(1, min(ANEW_CHARACTERS_MIN, len(text) // 2))]
    period = text.find(start, 1)
    while 0 < period <= len(text) // 2:
        if text.startswith(text[period:]):
            return True
        period = text.find(start, period + 1)
    return False


def _common(one: str, other: str) -> int:
    """Characters that both begin with."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))
