"""How many tokens answers usually have: what is held for a call that does not say how many it wants.

Per replica and in memory only: a wrong guess costs a top-up, or room in a budget until the call is settled,
never a wrong bill. Counts are kept in buckets that grow by a quarter; old ones fade.
"""

from bisect import bisect_left
from dataclasses import dataclass

SHARE = 0.95  # of answers that are not longer
TOKENS_MIN = 64
COUNT_MIN = 20  # answers before anything is said
COUNT_FADE = 512  # then all counts are halved
PAIRS_MAX = 20_000  # of key and model; and of models
BOUNDS = tuple(sorted({round(16 * 1.25**step) for step in range(60)}))  # 16 to some eight million tokens


@dataclass(slots=True)
class _Answers:
    counts: list[int]
    total: int = 0


class OutputQuantile:
    """Learned from settlements, by key and model, else by model."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], _Answers] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def learn(self, key_hash: str, model: str, output_tokens: int) -> None:
        """An answer was this long."""
        bucket = min(bisect_left(BOUNDS, output_tokens), len(BOUNDS) - 1)
        names = ((key_hash, model), ("", model)) if key_hash else (("", model),)
        for name in names:
            answers = self._answers.get(name)
            if answers is None:
                if len(self._answers) >= PAIRS_MAX:
                    del self._answers[next(iter(self._answers))]
                answers = self._answers[name] = _Answers([0] * len(BOUNDS))
            answers.counts[bucket] += 1
            answers.total += 1
            if answers.total >= COUNT_FADE:
                answers.counts = [count // 2 for count in answers.counts]
                answers.total = sum(answers.counts)

    def usual(self, key_hash: str, model: str) -> int | None:
        """Tokens that are enough for most answers; None: too few were seen."""
        for name in ((key_hash, model), ("", model)):
            answers = self._answers.get(name)
            if answers is not None and answers.total >= COUNT_MIN:
                return max(_quantile(answers), TOKENS_MIN)
        return None


def _quantile(answers: _Answers) -> int:
    needed = SHARE * answers.total
    seen = 0
    for bound, count in zip(BOUNDS, answers.counts, strict=True):
        seen += count
        if seen >= needed:
            return bound
    return BOUNDS[-1]
