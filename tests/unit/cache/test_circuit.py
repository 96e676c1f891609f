"""The circuit refuses what cannot succeed, asks once at a time, and closes by itself."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from meshgate_cache.circuit import Circuit, CircuitRules
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from tests.support.clock import ManualClock
from tests.support.eventually import eventually

RULES = CircuitRules(failures_max=3, probe_pause_s=0.1, probe_pause_s_max=1.0)


class Store:
    """Answers probes as told."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[bool] = asyncio.Queue()
        self.asking = 0
        self.asking_max = 0

    async def probe(self) -> bool:
        self.asking += 1
        self.asking_max = max(self.asking_max, self.asking)
        answer = await self.answers.get()
        self.asking -= 1
        return answer


class Subject:
    """A circuit with what it stands on."""

    def __init__(self) -> None:
        self.store = Store()
        self.clock = ManualClock()
        self.tasks = TaskOwner("test", 1)
        self.circuit = Circuit(self.store.probe, self.tasks, self.clock, RULES)


@pytest.fixture
async def subject() -> AsyncIterator[Subject]:
    subject = Subject()
    yield subject
    await subject.tasks.drain(0.0)


async def test_a_few_failures_do_not_open_it(subject: Subject) -> None:
    """Only failures in a row count."""
    for _ in range(10):
        subject.circuit.failed("timeout")
        subject.circuit.failed("timeout")
        subject.circuit.succeeded()

    subject.circuit.admit()
    assert subject.circuit.closed


async def test_failures_in_a_row_open_it(subject: Subject) -> None:
    """Then callers are refused with the typed error, without asking the store."""
    for _ in range(3):
        subject.circuit.failed("timeout")

    with pytest.raises(MeshError) as caught:
        subject.circuit.admit()
    assert (Code.UNAVAILABLE, "STORE_UNAVAILABLE") == (caught.value.code, caught.value.reason)


async def test_it_closes_when_the_store_answers(subject: Subject) -> None:
    """After pauses that double up to their maximum, with one probe at a time, and counting anew."""
    for _ in range(20):
        subject.circuit.failed("timeout")
    for answer in (False, False, False, False, False, True):
        subject.store.answers.put_nowait(answer)
    await eventually(lambda: subject.circuit.closed, "the circuit closes")
    subject.circuit.failed("timeout")

    subject.circuit.admit()
    assert [0.1, 0.2, 0.4, 0.8, 1.0, 1.0] == subject.clock.slept_s
    assert 1 == subject.store.asking_max


async def test_one_line_for_each_change(subject: Subject) -> None:
    """A thousand failures are one warning; the recovery is one line more."""
    with capture_logs() as logs:
        for _ in range(1_000):
            subject.circuit.failed("timeout")
        subject.store.answers.put_nowait(True)
        await eventually(lambda: subject.circuit.closed, "the circuit closes")

    assert ["warning", "info"] == [line["log_level"] for line in logs]
