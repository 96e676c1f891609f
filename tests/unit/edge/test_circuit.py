"""A service that does not answer costs its deadline a few times, not on every call."""

import pytest

from meshgate_edge.circuit import Circuit, CircuitRules
from tests.support.clock import ManualClock

RULES = CircuitRules(failures_max=3, pause_s=1.0, pause_s_max=4.0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def circuit(clock: ManualClock) -> Circuit:
    return Circuit("compression", clock, RULES)


def fail(circuit: Circuit, times: int) -> None:
    for _ in range(times):
        assert circuit.allows()
        circuit.failed()


def test_failures_in_a_row_open_it(circuit: Circuit) -> None:
    """A success between them starts the count again."""
    fail(circuit, 2)
    circuit.succeeded()
    fail(circuit, 2)
    assert (False, True) == (circuit.open, circuit.allows())
    circuit.failed()

    assert (True, False) == (circuit.open, circuit.allows())


def test_one_trial_for_each_pause_which_doubles_to_its_maximum(circuit: Circuit, clock: ManualClock) -> None:
    """While the trial is under way, nobody else waits for the service."""
    fail(circuit, 3)
    for pause_s in (1.0, 2.0, 4.0, 4.0):
        clock.advance(pause_s * 0.99)
        assert not circuit.allows()
        clock.advance(pause_s * 0.02)
        assert [True, False, False] == [circuit.allows() for _ in range(3)]
        circuit.failed()


def test_an_answer_closes_it(circuit: Circuit, clock: ManualClock) -> None:
    """And the next outage begins with the short pause again."""
    fail(circuit, 3)
    clock.advance(1.0)
    fail(circuit, 1)
    clock.advance(2.0)
    assert circuit.allows()
    circuit.succeeded()
    assert [True] * 5 == [circuit.allows() for _ in range(5)]

    fail(circuit, 3)
    clock.advance(1.0)
    assert circuit.allows()


def test_calls_under_way_when_it_opens_count_no_further(circuit: Circuit, clock: ManualClock) -> None:
    """A hundred calls that hang together are one outage, whose pause starts with the last of them."""
    assert all(circuit.allows() for _ in range(5))
    for _ in range(5):
        circuit.failed()
    clock.advance(RULES.pause_s_max)

    assert circuit.allows()
