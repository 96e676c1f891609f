"""What a replica knows: the same as a plain list would, bounded, and small."""

import random
import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest

from meshgate_cache.semantic.directory import Directory
from meshgate_cache.semantic.events import Cleared, Forgotten, Learned, Reported
from meshgate_cache.semantic.nearest import quantised, row_bytes
from meshgate_cache.semantic.vectors import Placed, Space

DIMENSIONS = 384
MODEL = "m"
FAR_NS = 10**18
TENANTS = ("a" * 16, "b" * 16)


def row_of(seed: int) -> bytes:
    vector = np.random.default_rng(seed).standard_normal(DIMENSIONS).astype(np.float32)
    return quantised(vector).tobytes()


def key_of(number: int, tenant: str = TENANTS[0]) -> str:
    return f"{tenant}{number:048x}"


def learned(number: int, *, context: bytes = b"c", tenant: str = TENANTS[0], **other: object) -> Learned:
    """Its vector is that of its number."""
    facts = {"namespace": "n", "text": f"text {number}", "expires_ns": FAR_NS} | other
    return Learned(key=key_of(number, tenant), context=context, model=MODEL, row=row_of(number), **facts)


def found(directory: Directory, number: int, context: bytes = b"c", now_ns: int = 0) -> list[str]:
    """Texts of what is nearest to the vector of a number."""
    vector = np.frombuffer(row_of(number), dtype=np.int8).astype(np.float32)
    return [near.known.text for near in directory.search(context, Placed(MODEL, vector), 0.9, now_ns)]


@dataclass
class Plain:
    """The same in a list, the least used first."""

    entries: list[Learned]
    most: int

    def learn(self, event: Learned) -> None:
        self.drop(lambda each: each.key == event.key)
        self.entries.append(event)
        del self.entries[: -self.most]

    def use(self, key: str) -> None:
        self.entries.sort(key=lambda each: each.key == key)

    def drop(self, gone: object) -> None:
        self.entries = [each for each in self.entries if not gone(each)]  # type: ignore[operator]


@pytest.mark.parametrize("most", [3, 25, 500])
def test_the_same_as_a_plain_list(most: int) -> None:
    """Anything that can happen, in any order, with room and without."""
    chance = random.Random(most)
    subject, plain = Directory(Space(MODEL, DIMENSIONS), most), Plain([], most)
    for _ in range(3_000):
        number, tenant = chance.randrange(40), chance.choice(TENANTS)
        key = key_of(number, tenant)
        match chance.randrange(40):
            case 0:
                namespace, of = chance.choice(("n", "o", "")), chance.choice((*TENANTS, ""))
                subject.apply(Cleared(namespace, of))
                plain.drop(
                    lambda each, namespace=namespace, of=of: (
                        each.key.startswith(of) and namespace in ("", each.namespace)
                    )
                )
            case 1 | 2 | 3:
                subject.apply(Forgotten("n", (key,)))
                plain.drop(lambda each, key=key: each.key == key)
            case 4 | 5 | 6 | 7:
                subject.used(key)
                plain.use(key)
            case _:
                context, namespace = chance.choice((b"c", b"d", key.encode())), chance.choice(("n", "o"))
                event = learned(number, context=context, tenant=tenant, namespace=namespace)
                subject.apply(event)
                plain.learn(event)
        assert len(plain.entries) == len(subject)
    for namespace in ("n", "o"):
        count = sum(each.namespace == namespace for each in plain.entries)
        assert count == subject.count_in(namespace)
    for number in range(40):
        for context in (b"c", b"d"):
            there = {each.text for each in plain.entries if each.context == context}
            assert set(found(subject, number, context)) == there & {f"text {number}"}
        for tenant in TENANTS:
            key = key_of(number, tenant)
            assert subject.knows(key) == any(each.key == key for each in plain.entries)


def test_expired_questions_go_when_they_are_met() -> None:
    """And leave their place to others."""
    subject = Directory(Space(MODEL, DIMENSIONS), 10)
    subject.apply(learned(1, expires_ns=50))
    assert ["text 1"] == found(subject, 1, now_ns=49)
    assert [] == found(subject, 1, now_ns=50)
    assert (0, 0, False) == (len(subject), subject.count_in("n"), subject.has(b"c"))


def test_bytes_are_bounded_texts_included() -> None:
    """Long texts: fewer of them."""
    room = 40 * (row_bytes(DIMENSIONS) + 1_100)
    subject = Directory(Space(MODEL, DIMENSIONS), 10_000, bytes_max=room)
    for number in range(400):
        subject.apply(learned(number, text=f"{number:01000}"))
    assert 38 <= len(subject) <= 42
    assert [] == found(subject, 0) and [f"{399:01000}"] == found(subject, 399)
    for number in range(400, 800):
        subject.apply(learned(number))
    assert 120 <= len(subject) <= 126, "short ones are more"


def test_what_nobody_of_us_wrote_is_ignored() -> None:
    """A stream may hold anything: no harm is done."""
    subject = Directory(Space(MODEL, DIMENSIONS), 10)
    subject.apply(learned(1, expires_ns=10**19))
    subject.apply(Learned("no key", "n", b"c", "t", MODEL, row_of(2), FAR_NS))
    subject.apply(Learned(key_of(3), "n", b"c", "t", "another", row_of(3), FAR_NS))
    subject.apply(Forgotten("n", ("no key", "")))
    subject.apply(Cleared("n", "no digest"))
    subject.apply(Reported("n", "x", "y"))
    assert 1 == len(subject) and not subject.knows("no key") and subject.is_wrong("y", "x")


@pytest.mark.parametrize("contexts", [1, 20_000])
def test_what_a_question_takes(contexts: int) -> None:
    """Below 1 kB, in one context and in contexts of their own, with texts of 40 characters."""
    count, row = 20_000, row_of(1)
    tracemalloc.start()
    try:
        subject = Directory(Space(MODEL, DIMENSIONS), count)
        for number in range(count):
            context = (number % contexts).to_bytes(32, "big")
            text = f"What is known about matter {number:07}, sir?"
            subject.apply(Learned(key_of(number), "n", context, text, MODEL, row, FAR_NS))
        size = tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()
    # Arrays that grow by doubling are two thirds full at 20,000 of 32,768; what is not used is not resident.
    assert size - row_bytes(DIMENSIONS) * (32_768 / count - 1) < 1_000
