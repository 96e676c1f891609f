"""Selection: which units stay whole and what stays of the others, within a budget of tokens.

In this order the budget is spent: what must stay; the units that bear on the question; the names
of the units that go; the other units by value; single phrases of the next best ones, so that the
budget is used up. Invariants: pure, deterministic; what must stay is in every selection.
"""

from collections.abc import Callable, Iterable, Sequence

from meshgate_compression.candidates import Candidate, Piece

BEARING_SHARE = 0.5  # Of the best value: from here on a unit bears on the question.
UNIT_SHARE = 0.5  # Of the free budget that units get before names, when there is no question.
WHOLE_SHARE = 0.8  # When what must stay costs this share of a unit, the unit stays whole.
PHRASE_UNITS_MAX = 4  # Units whose phrases may use up the rest of the budget.

Kept = list[Piece] | None  # What stays of one unit: pieces in order; None: all of it.
Phrases = Callable[[Candidate], list[Piece]]


def select(
    candidates: Sequence[Candidate],
    values: Sequence[float],
    budget: float,
    phrases: Phrases,
    with_question: bool,
) -> list[Kept]:
    """What stays of each candidate, in order; `budget` in tokens."""
    selection = _Selection(candidates, budget)
    order = sorted(range(len(candidates)), key=lambda index: (-values[index], index))
    if with_question:
        top = values[order[0]] if order else 0.0
        selection.take_units((i for i in order if values[i] >= BEARING_SHARE * top), reserve=0.0)
    else:
        selection.take_units(order, reserve=selection.free * (1 - UNIT_SHARE))
    selection.take_names(order)
    selection.take_units(order, reserve=0.0)
    selection.take_phrases(order, phrases)
    return selection.kept


class _Selection:
    """A selection under way. `free`: tokens left; negative when what must stay exceeds the budget."""

    def __init__(self, candidates: Sequence[Candidate], budget: float) -> None:
        self._candidates = candidates
        self.kept: list[Kept] = []
        self.free = budget
        for candidate in candidates:
            whole = candidate.firm_tokens >= WHOLE_SHARE * candidate.tokens
            self.kept.append(None if whole else list(candidate.firm))
            self.free -= candidate.tokens if whole else candidate.firm_tokens

    def take_units(self, order: Iterable[int], reserve: float) -> None:
        """Whole units, best first, as long as `reserve` stays free."""
        for index in order:
            kept, tokens = self.kept[index], self._candidates[index].tokens
            if kept is None:
                continue
            extra = tokens - min(tokens, sum(piece.tokens for piece in kept))
            if extra <= self.free - reserve:
                self.kept[index] = None
                self.free -= extra

    def take_names(self, order: Iterable[int]) -> None:
        """Names that the whole units do not have, once each."""
        seen: set[str] = set()
        for kept, candidate in zip(self.kept, self._candidates, strict=True):
            if kept is None:
                for piece in candidate.names:
                    _note_name(seen, piece.text)
        for index in order:
            kept = self.kept[index]
            if kept is None:
                continue
            for piece in self._candidates[index].names:
                if piece.text not in seen and piece.tokens <= self.free:
                    _note_name(seen, piece.text)
                    self.free -= piece.tokens
                    kept.append(piece)
            kept.sort(key=lambda piece: piece.start)

    def take_phrases(self, order: Iterable[int], phrases: Phrases) -> None:
        """Phrases of the best units that are not whole, to use up the budget."""
        reduced = [index for index in order if self.kept[index] is not None][:PHRASE_UNITS_MAX]
        for index in reduced:
            for phrase in phrases(self._candidates[index]):
                kept = self.kept[index] or []
                inside = [p for p in kept if phrase.start <= p.start and p.end <= phrase.end]
                extra = phrase.tokens - sum(piece.tokens for piece in inside)
                if 0 < extra <= self.free:
                    self.free -= extra
                    others = [piece for piece in kept if piece not in inside]
                    self.kept[index] = sorted([*others, phrase], key=lambda piece: piece.start)


def _note_name(seen: set[str], name: str) -> None:
    """A full name also stands for each of its words: "Ada Lovelace", later "Lovelace"."""
    seen.add(name)
    seen.update(name.split(" "))
