"""Fallbacks that nobody has granted the price of: named instead of called, and the request goes on later."""

from typing import Any

import pytest

from meshgate_chassis.chat.json import loads
from meshgate_chassis.config.model import RouterConfig
from meshgate_chassis.errors import MeshError
from meshgate_router.providers.base import ErrorKind
from meshgate_router.resume import RESUME, UNCOVERED, journey_of
from tests.unit.router.script import Script, failure
from tests.unit.router.support import deployment

DOWN = failure(ErrorKind.UNAVAILABLE)
LONG = failure(ErrorKind.CONTEXT_WINDOW_EXCEEDED)
MODELS = ("a", "b", "c", "d")


def script(config: RouterConfig, **outcomes: list[Any]) -> Script:
    return Script([deployment(name) for name in MODELS], config, **outcomes)


async def refused(subject: Script, **members: Any) -> MeshError:
    with pytest.raises(MeshError) as caught:
        await subject.run(**members)
    return caught.value


async def test_they_are_named_and_not_called() -> None:
    """The error is the one that there would be without them."""
    subject = script(RouterConfig(num_retries=0, fallbacks={"a": ["b", "c"]}), a=[DOWN])
    error = await refused(subject, covered=frozenset())

    assert ["a"] == subject.calls
    assert ("PROVIDER_UNAVAILABLE", "1") == (error.reason, error.metadata["upstream_calls"])
    assert ["b", "c"] == loads(error.metadata[UNCOVERED].encode())


async def test_one_that_is_covered_is_called_after_one_that_is_not() -> None:
    """The caller could not pay for the first."""
    subject = script(RouterConfig(num_retries=0, fallbacks={"a": ["b", "c"]}), a=[DOWN])

    assert "c" == (await subject.run(covered=frozenset({"c"}))).group.name
    assert ["a", "c"] == subject.calls


async def test_a_request_goes_on_where_it_was() -> None:
    """Through fallbacks of fallbacks; nobody is called twice, and the count of groups is right."""
    config = RouterConfig(num_retries=0, fallbacks={"a": ["b", "c"], "b": ["d"]})
    subject = script(config, a=[DOWN], b=[DOWN], d=[DOWN])
    covered: frozenset[str] = frozenset()
    resume = ""
    for name in ("b", "d", "c"):
        error = await refused(subject, covered=covered, resume=resume)
        assert name == loads(error.metadata[UNCOVERED].encode())[0]
        covered, resume = covered | {name}, error.metadata[RESUME]
    served = await subject.run(covered=covered, resume=resume)

    assert ["a", "b", "d", "c"] == subject.calls
    assert ("c", 3) == (served.group.name, served.journey.counts.fallbacks)


async def test_it_remembers_why_a_group_failed() -> None:
    """Long prompts have fallbacks of their own."""
    config = RouterConfig(num_retries=0, fallbacks={"a": ["b"]}, context_window_fallbacks={"a": ["c"]})
    subject = script(config, a=[LONG])
    error = await refused(subject, covered=frozenset())
    served = await subject.run(covered=frozenset({"b", "c"}), resume=error.metadata[RESUME])

    assert "c" == served.group.name


async def test_what_was_called_is_told_again_when_nothing_helps() -> None:
    """Calls of the earlier part count: they may have cost something."""
    config = RouterConfig(num_retries=0, fallbacks={"a": ["b"]})
    subject = script(config, a=[DOWN], b=[failure(ErrorKind.UNAVAILABLE, sent=False)])
    error = await refused(subject, covered=frozenset())
    last = await refused(subject, covered=frozenset({"b"}), resume=error.metadata[RESUME])

    assert ("1", "a") == (last.metadata["upstream_calls"], last.metadata["model_group"])
    assert UNCOVERED not in last.metadata


@pytest.mark.parametrize("token", ["", "[]", "[[]]", '[["a", "NO_REASON", true]]', "{", '[["a"]]', "1"])
async def test_tokens_that_nobody_made(token: str) -> None:
    """Are refused, whatever is in them."""
    subject = script(RouterConfig())
    if token:
        assert "FIELD_INVALID" == (await refused(subject, resume=token)).reason
    with pytest.raises(MeshError, match=r"options\.resume|FIELD_INVALID"):
        journey_of(token, subject.router.catalog)
