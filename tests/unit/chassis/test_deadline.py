"""Deadlines are carried by the context and only ever get shorter."""

import pytest

from meshgate_chassis.deadline import deadline_scope, detached_scope, outgoing_timeout_s, remaining_s
from meshgate_chassis.errors import MeshError


def test_nothing_is_known_outside_a_scope() -> None:
    """A limit alone is enough to call; neither is a bug."""
    assert remaining_s() is None
    assert 3.0 == outgoing_timeout_s(3.0)
    with pytest.raises(MeshError) as caught:
        outgoing_timeout_s(None)
    assert "DEADLINE_MISSING" == caught.value.reason


def test_an_inner_scope_cannot_make_it_longer() -> None:
    """The sooner of the two ends it."""
    with deadline_scope(1.0), deadline_scope(60.0):
        left = remaining_s()
        assert left is not None
        assert left <= 1.0


def test_some_time_is_kept_for_the_answer() -> None:
    """The callee has less than we have, or the limit if that is shorter."""
    with deadline_scope(10.0):
        assert outgoing_timeout_s(None) <= 10.0 - 0.020
        assert 0.5 == outgoing_timeout_s(0.5)


def test_too_little_time_is_not_spent() -> None:
    """The call is refused before it is made."""
    with deadline_scope(0.001), pytest.raises(MeshError) as caught:
        outgoing_timeout_s(5.0)
    assert "DEADLINE_TOO_CLOSE" == caught.value.reason


def test_work_that_must_outlive_its_caller_has_a_deadline_of_its_own() -> None:
    """And the caller's comes back afterwards."""
    with deadline_scope(0.5):
        with detached_scope(30.0):
            assert (remaining_s() or 0) > 1.0
        assert (remaining_s() or 9) <= 0.5
