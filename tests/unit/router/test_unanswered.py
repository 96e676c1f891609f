"""Calls that went out and of which nobody knows whether they were served: told, and paid for before more."""

from typing import Any

import pytest

from meshgate_chassis.chat.json import loads
from meshgate_chassis.config.model import RouterConfig
from meshgate_chassis.errors import MeshError
from meshgate_router.legs import LegReason
from meshgate_router.providers.base import ErrorKind, ProviderError
from meshgate_router.resume import RESUME, UNANSWERED, UNCOVERED
from tests.unit.router.script import Script, failure
from tests.unit.router.support import deployment

LOST = ProviderError(ErrorKind.UNAVAILABLE, "the connection broke", 500, unanswered=True)
REFUSED = failure(ErrorKind.UNAVAILABLE)
CONFIG = RouterConfig(num_retries=2, fallbacks={"a": ["b"]})


def script(**outcomes: list[Any]) -> Script:
    return Script([deployment(name) for name in ("a", "b")], CONFIG, **outcomes)


async def error_of(subject: Script, **members: Any) -> MeshError:
    with pytest.raises(MeshError) as caught:
        await subject.run(**members)
    return caught.value


def named(error: MeshError, member: str) -> Any:
    return loads(error.metadata[member].encode())


async def test_the_answer_tells_of_them() -> None:
    """Not of those that the provider refused."""
    subject = script(a=[LOST, REFUSED, "fine"])
    served = await subject.run()

    assert ["a", "a", "a"] == subject.calls
    assert [("a", LegReason.UNANSWERED, False)] == [
        (leg.group, leg.reason, leg.whole) for leg in served.journey.legs
    ]


async def test_the_error_tells_of_them() -> None:
    """Who, and for which group; an empty list says that all were refused."""
    mixed = await error_of(script(a=[LOST, REFUSED], b=[LOST]))
    refused = await error_of(script(a=[REFUSED], b=[REFUSED]))

    where = [deployment(name) for name in ("a", "b")]
    expected = [[each.id, each.provider, each.upstream_model, each.model_group] for each in where]
    told = named(mixed, UNANSWERED)
    assert expected == [told[0], told[-1]]
    assert [] == named(refused, UNANSWERED)


async def test_nobody_is_called_after_one_before_it_is_paid_for() -> None:
    """Where a budget applies; the group itself comes before its fallbacks."""
    subject = script(a=[LOST])
    error = await error_of(subject, covered=frozenset({"b"}))

    assert ["a"] == subject.calls
    assert ["a", "b"] == named(error, UNCOVERED)
    assert 1 == len(named(error, UNANSWERED))


async def test_the_group_is_asked_again_once_it_is_paid_for() -> None:
    """As often as its retries allow, over as many RPCs as it takes; then it is the fallback's turn."""
    subject = script(a=[LOST])
    resume = ""
    for number in (1, 2):
        error = await error_of(subject, covered=frozenset({"a"}), resume=resume)
        assert ["a"] * number == subject.calls
        assert ["a", "b"] == named(error, UNCOVERED)
        resume = error.metadata[RESUME]
    error = await error_of(subject, covered=frozenset({"a"}), resume=resume)
    assert (["a"] * 3, ["b"]) == (subject.calls, named(error, UNCOVERED))
    served = await subject.run(covered=frozenset({"a", "b"}), resume=error.metadata[RESUME])

    assert ["a", "a", "a", "b"] == subject.calls
    assert ("b", 1, []) == (served.group.name, served.journey.counts.fallbacks, served.journey.legs)


async def test_a_group_that_is_not_paid_for_again_is_passed() -> None:
    """Its fallback may be cheaper."""
    subject = script(a=[LOST])
    error = await error_of(subject, covered=frozenset())
    served = await subject.run(covered=frozenset({"b"}), resume=error.metadata[RESUME])

    assert (["a", "b"], "b") == (subject.calls, served.group.name)


async def test_what_is_asked_again_is_another_deployment_first() -> None:
    """The token says who failed."""
    both = [deployment("a", id="one"), deployment("a", id="two")]
    subject = Script(both, CONFIG, one=[LOST], two=[LOST])
    error = await error_of(subject, covered=frozenset())
    again = await error_of(subject, covered=frozenset({"a"}), resume=error.metadata[RESUME])

    assert {"one", "two"} == set(subject.calls)
    assert 1 == len(named(again, UNANSWERED))  # those of this RPC


@pytest.mark.parametrize(
    "row",
    [
        '["a", "", true, 1]',
        '["a", "", true, -1, [], []]',
        '["a", "", true, "x", [], []]',
        '["a", "", true, 1, 5, []]',
        '["a", "", true, 99, [], []]',
        '["a", "", true, 1, [], [], []]',
    ],
)
async def test_tokens_that_nobody_made(row: str) -> None:
    assert "FIELD_INVALID" == (await error_of(script(), resume=f"[{row}]")).reason
