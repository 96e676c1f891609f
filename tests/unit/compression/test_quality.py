"""Quality on questions over real passages: what answers need is kept, better than by simpler means.

A sample of XQuAD: the paragraph that answers stands among others, in a random place.
"""

import gzip
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest

from meshgate_compression.extractive import Section, extract
from tests.support.shared_data import shared_data
from tests.unit.compression.passages import count

CASES = 120
PARAGRAPHS = 6
BARS = {0.5: 0.95, 1 / 3: 0.90}
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True)
class Case:
    """A question, its context and what counts as its answer."""

    text: str
    question: str
    answers: tuple[str, ...]


@cache
def cases() -> tuple[Case, ...]:
    with gzip.open(shared_data("compression/xquad_en_dev.jsonl.gz")) as lines:
        rows = [json.loads(line) for line in lines]
    chance = random.Random(20)
    asked = [(row, qa) for row in rows for qa in row["qas"]]
    found = []
    for row, qa in chance.sample(asked, CASES):
        others = [other["context"] for other in rows if other is not row]
        paragraphs = [row["context"], *chance.sample(others, PARAGRAPHS - 1)]
        chance.shuffle(paragraphs)
        found.append(Case("\n\n".join(paragraphs), qa["question"], tuple(qa["answers"])))
    return tuple(found)


def kept_share(shorten: Callable[[Case], str]) -> float:
    """Share of the questions with an answer left in what `shorten` makes of the context."""
    results = [(case, shorten(case)) for case in cases()]
    return sum(any(a in result for a in case.answers) for case, result in results) / CASES


def truncated(case: Case, ratio: float) -> str:
    """The first sentences."""
    return case.text[: int(len(case.text) * ratio)]


@pytest.mark.parametrize("ratio", BARS)
def test_answers_are_kept(ratio: float) -> None:
    """95 % at 2x and 90 % at 3x, where truncation keeps little more than its share."""
    ours = kept_share(lambda case: extract([Section(case.text)], ratio, case.question, count)[0])

    assert ours >= BARS[ratio]
    assert ours > kept_share(lambda case: truncated(case, ratio)) + 0.2


@pytest.mark.parametrize("ratio", BARS)
def test_the_ratio_is_reached_and_numbers_are_kept(ratio: float) -> None:
    """Within 10 % in every case; every number, as often as it stood there."""
    for case in cases():
        result = extract([Section(case.text)], ratio, case.question, count)[0]
        assert ratio == pytest.approx(count(result) / count(case.text), rel=0.1)
        assert not Counter(NUMBER.findall(case.text)) - Counter(NUMBER.findall(result))
