"""The attempt loop on a clock of its own: how many calls, where, and with what pauses."""

from typing import Any

import pytest

from meshgate_chassis.chat.json import loads
from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_chassis.errors import Code, MeshError
from meshgate_router.attempt import ATTEMPTS_MAX
from meshgate_router.providers.base import ErrorKind, ProviderError
from meshgate_router.retry import JITTER_S_MAX
from tests.unit.router.script import Script, failure
from tests.unit.router.support import SECRET, deployment

DOWN = failure(ErrorKind.UNAVAILABLE)
LATE = failure(ErrorKind.TIMEOUT)
REFUSED = failure(ErrorKind.AUTHENTICATION_FAILED)
WRONG = failure(ErrorKind.BAD_REQUEST)


def one(**changes: Any) -> list[Deployment]:
    return [deployment("a", **changes)]


def two() -> list[Deployment]:
    return [deployment("a", id="id-a1"), deployment("a", id="id-a2")]


def chain() -> list[Deployment]:
    return [deployment(name) for name in ("a", "b", "c")]


async def test_the_first_good_answer_is_the_answer() -> None:
    """One call, no pause."""
    script = Script(one(), RouterConfig())
    served = await script.run()

    assert ("fine", ["a"], 0) == (served.value, script.calls, served.retries)
    assert [] == script.clock.slept_s


async def test_retries_back_off() -> None:
    """Twice the pause each time, with jitter, when no other deployment is there."""
    script = Script(one(), RouterConfig(num_retries=3), a=[DOWN, DOWN, DOWN, "fine"])
    served = await script.run()

    assert 3 == served.retries
    assert 3 == len(script.clock.slept_s)
    for pause_s, least_s in zip(script.clock.slept_s, (0.5, 1.0, 2.0), strict=True):
        assert least_s <= pause_s <= least_s + JITTER_S_MAX


async def test_another_deployment_is_asked_at_once() -> None:
    """No pause, and not the same one again."""
    script = Script(two(), RouterConfig(), a1=[DOWN], a2=["fine"])
    for _ in range(5):
        await script.run()

    assert [] == script.clock.slept_s
    assert "a2" == script.calls[-1]
    assert all(pair != ("a1", "a1") for pair in zip(script.calls, script.calls[1:], strict=False))


async def test_retry_after_is_honoured() -> None:
    """The provider's own pause, when nothing else can be asked."""
    limited = failure(ErrorKind.RATE_LIMITED, 20.0)
    script = Script(one(), RouterConfig(), a=[limited, "fine"])
    await script.run()

    assert 20.0 <= script.clock.slept_s[0] <= 20.0 + JITTER_S_MAX


@pytest.mark.parametrize(("retry_after_s", "deadline_s"), [(61.0, 600.0), (20.0, 10.0)])
async def test_too_long_a_pause_is_not_waited_for(retry_after_s: float, deadline_s: float) -> None:
    """Neither beyond a minute, nor beyond the caller's deadline: the error comes at once, with the pause."""
    script = Script(one(), RouterConfig(), a=[failure(ErrorKind.RATE_LIMITED, retry_after_s)])
    with pytest.raises(MeshError) as caught:
        await script.run(deadline_s=deadline_s)

    assert ["a"] == script.calls
    assert [] == script.clock.slept_s
    assert (Code.RESOURCE_EXHAUSTED, retry_after_s) == (caught.value.code, caught.value.retry_after_s)


@pytest.mark.parametrize(
    ("error", "calls"), [(WRONG, 1), (REFUSED, 1), (failure(ErrorKind.NOT_FOUND), 1), (DOWN, 3), (LATE, 3)]
)
async def test_only_what_may_pass_is_retried(error: ProviderError, calls: int) -> None:
    """A wrong request, key or model stays wrong."""
    script = Script(one(), RouterConfig(num_retries=2), a=[error])
    with pytest.raises(MeshError) as caught:
        await script.run()

    assert calls == len(script.calls)
    assert error.kind.value == caught.value.reason
    assert str(calls) == caught.value.metadata["upstream_calls"]


async def test_a_refused_key_may_be_right_elsewhere() -> None:
    """The other deployment of the group is asked, once."""
    script = Script(two(), RouterConfig(num_retries=5), a1=[REFUSED], a2=[REFUSED])
    with pytest.raises(MeshError):
        await script.run()

    assert ["a1", "a2"] == sorted(script.calls)


async def test_a_refused_key_is_not_tried_again_in_place_of_another_failure() -> None:
    """Retries go where there is hope."""
    for _ in range(5):
        script = Script(two(), RouterConfig(num_retries=4), a1=[REFUSED], a2=[DOWN])
        with pytest.raises(MeshError):
            await script.run()
        assert script.calls.count("a1") <= 1


async def test_nobody_waits_for_a_deployment_that_cools_down() -> None:
    """A retry that could not be made costs no pause."""
    config = RouterConfig(num_retries=5, allowed_fails=0, fallbacks={"a": ["b"]})
    script = Script(chain(), config, a=[DOWN])
    await script.run()

    assert ["a", "b"] == script.calls
    assert [] == script.clock.slept_s


async def test_fallbacks_in_order_without_pause() -> None:
    """The chain is followed until one answers; the pauses are those of retries only."""
    config = RouterConfig(num_retries=0, fallbacks={"a": ["b", "c"]})
    script = Script(chain(), config, a=[DOWN], b=[DOWN])
    served = await script.run()

    assert ["a", "b", "c"] == script.calls
    assert [] == script.clock.slept_s
    assert ("c", 2) == (served.group.name, served.journey.counts.fallbacks)


async def test_a_timeout_is_not_repeated_where_a_fallback_waits() -> None:
    """A dead tier costs its timeout once."""
    config = RouterConfig(num_retries=3, fallbacks={"a": ["b"]})
    script = Script(chain(), config, a=[LATE])
    await script.run()

    assert ["a", "b"] == script.calls


@pytest.mark.parametrize("error", [WRONG, REFUSED, LATE, DOWN, failure(ErrorKind.OTHER)])
async def test_every_failure_falls_back(error: ProviderError) -> None:
    """As clients of LiteLLM expect."""
    script = Script(chain(), RouterConfig(num_retries=0, fallbacks={"a": ["b"]}), a=[error])

    assert "b" == (await script.run()).group.name


async def test_fallbacks_have_their_own_fallbacks() -> None:
    """Recursively, but no group twice, and not deeper than configured."""
    config = RouterConfig(num_retries=0, fallbacks={"a": ["b"], "b": ["a", "c"]})
    script = Script(chain(), config, a=[DOWN], b=[DOWN], c=[DOWN])
    with pytest.raises(MeshError):
        await script.run()
    assert ["a", "b", "c"] == script.calls

    shallow = Script(
        chain(),
        RouterConfig(num_retries=0, fallbacks=config.fallbacks, fallback_depth_max=1),
        a=[DOWN],
        b=[DOWN],
    )
    with pytest.raises(MeshError):
        await shallow.run()
    assert ["a", "b"] == shallow.calls


async def test_a_group_reached_on_two_ways_is_tried_once() -> None:
    """As a fallback of a fallback, and then not again."""
    config = RouterConfig(num_retries=0, fallbacks={"a": ["b", "c"], "b": ["c"]})
    script = Script(chain(), config, a=[DOWN], b=[DOWN], c=[DOWN])
    with pytest.raises(MeshError):
        await script.run()

    assert ["a", "b", "c"] == script.calls


async def test_the_last_group_is_retried_even_after_a_timeout() -> None:
    """A fallback that was tried already is none to wait for."""
    config = RouterConfig(num_retries=1, fallbacks={"a": ["b"], "b": ["a"]})
    script = Script(chain(), config, a=[LATE], b=[LATE, "fine"])
    await script.run()

    assert ["a", "b", "b"] == script.calls


async def test_a_request_s_own_fallbacks_replace_the_configured_ones() -> None:
    """All of them."""
    config = RouterConfig(num_retries=0, fallbacks={"a": ["b"], "c": ["b"]})
    script = Script(chain(), config, a=[DOWN], c=[DOWN])
    with pytest.raises(MeshError):
        await script.run(fallbacks=("nobody", "c"))

    assert ["a", "c"] == script.calls


async def test_special_fallbacks_for_long_prompts_and_refused_content() -> None:
    """Each kind has its list; without one the general list holds."""
    config = RouterConfig(
        num_retries=0,
        fallbacks={"*": ["b"]},
        context_window_fallbacks={"a": ["c"]},
    )
    long = Script(chain(), config, a=[failure(ErrorKind.CONTEXT_WINDOW_EXCEEDED)])
    filtered = Script(chain(), config, a=[failure(ErrorKind.CONTENT_FILTERED)])

    assert "c" == (await long.run()).group.name
    assert "b" == (await filtered.run()).group.name


async def test_when_all_fail_the_first_error_is_told_with_every_attempt() -> None:
    """The client asked for the first model; the others are in the metadata."""
    config = RouterConfig(num_retries=1, fallbacks={"a": ["b"]})
    unsent = failure(ErrorKind.UNAVAILABLE, sent=False)
    script = Script(chain(), config, a=[LATE], b=[WRONG, unsent])
    with pytest.raises(MeshError) as caught:
        await script.run()
    metadata = caught.value.metadata

    assert (Code.DEADLINE_EXCEEDED, "PROVIDER_TIMEOUT") == (caught.value.code, caught.value.reason)
    assert [
        {"group": "a", "provider": "openai", "reason": "PROVIDER_TIMEOUT"},
        {"group": "b", "provider": "openai", "reason": "PROVIDER_BAD_REQUEST"},
    ] == loads(metadata["attempts"])
    assert ("2", "1", "id-b") == (
        metadata["upstream_calls"],
        metadata["attempted_fallbacks"],
        metadata["deployment_id"],
    )


async def test_calls_that_were_not_sent_are_not_counted() -> None:
    """So that the caller need not pay for them."""
    script = Script(one(), RouterConfig(num_retries=1), a=[failure(ErrorKind.UNAVAILABLE, sent=False)])
    with pytest.raises(MeshError) as caught:
        await script.run()

    assert 2 == len(script.calls)
    assert "0" == caught.value.metadata["upstream_calls"]


async def test_the_number_of_calls_is_bounded() -> None:
    """Whatever the configuration says."""
    names = [f"m{number}" for number in range(20)]
    fallbacks = dict.fromkeys(names, names)
    config = RouterConfig(num_retries=10, fallbacks=fallbacks, fallback_depth_max=100)
    script = Script([deployment(name) for name in names], config, **{name: [DOWN] for name in names})
    with pytest.raises(MeshError):
        await script.run("m0", deadline_s=1e9)

    assert ATTEMPTS_MAX == len(script.calls)


async def test_the_deadline_ends_it() -> None:
    """No call begins that could not end in time; each call is told what is left."""
    script = Script(chain(), RouterConfig(num_retries=9, fallbacks={"a": ["b"]}), a=[DOWN], b=[DOWN])
    script.call_s = 2.0
    with pytest.raises(MeshError) as caught:
        await script.run(deadline_s=5.0)

    assert "PROVIDER_UNAVAILABLE" == caught.value.reason
    assert script.clock.monotonic_s() <= 5.0
    assert all(limit.total_s <= 5.0 for limit in script.timeouts)
    assert [] == [limit for limit in script.timeouts if limit.total_s <= 0]


async def test_with_no_time_left_nothing_is_called() -> None:
    """And the caller learns that it costs nothing."""
    script = Script(one(), RouterConfig())
    with pytest.raises(MeshError) as caught:
        await script.run(deadline_s=0.01)

    assert [] == script.calls
    assert ("DEADLINE_TOO_CLOSE", "0") == (caught.value.reason, caught.value.metadata["upstream_calls"])


async def test_an_unknown_model_is_said_so() -> None:
    """NOT_FOUND, at no cost."""
    with pytest.raises(MeshError) as caught:
        await Script(one(), RouterConfig()).run("nobody")

    assert (Code.NOT_FOUND, "MODEL_NOT_FOUND", "0") == (
        caught.value.code,
        caught.value.reason,
        caught.value.metadata["upstream_calls"],
    )


async def test_a_cooling_tier_is_skipped() -> None:
    """The home-lab chain: after two failures in a minute the dead tier costs nothing, for 30 s."""
    config = RouterConfig(num_retries=1, allowed_fails=1, cooldown_time_s=30.0, fallbacks={"a": ["b"]})
    script = Script(chain(), config, a=[DOWN])
    await script.run()
    assert ["a", "a", "b"] == script.calls

    await script.run()
    assert ["a", "a", "b", "b"] == script.calls

    script.clock.advance(30.0)
    await script.run()
    assert "a" == script.calls[4]


async def test_all_deployments_cooling() -> None:
    """Without a fallback the client is told when to come back, and nothing is called."""
    script = Script(one(), RouterConfig(num_retries=0, allowed_fails=0, cooldown_time_s=30.0), a=[DOWN])
    with pytest.raises(MeshError):
        await script.run()
    script.clock.advance(10.0)
    with pytest.raises(MeshError) as caught:
        await script.run()
    error = caught.value

    assert ["a"] == script.calls
    assert ("DEPLOYMENTS_COOLING_DOWN", "0", "429", 20.0) == (
        error.reason,
        error.metadata["upstream_calls"],
        error.metadata["http_status"],
        error.retry_after_s,
    )


async def test_an_impatient_caller_does_not_cool_a_deployment() -> None:
    """A timeout that the request itself shortened says nothing about the provider."""
    script = Script(one(), RouterConfig(num_retries=0, allowed_fails=0), a=[LATE, "fine"])
    with pytest.raises(MeshError):
        await script.run(timeout_s=0.2)

    assert "fine" == (await script.run()).value


async def test_a_quoted_key_is_not_told() -> None:
    """Providers like to repeat the key they refuse."""
    leaking = ProviderError(ErrorKind.AUTHENTICATION_FAILED, f"Incorrect key: {SECRET}", 401, code=SECRET)
    script = Script(one(), RouterConfig(), a=[leaking])
    with pytest.raises(MeshError) as caught:
        await script.run()

    assert SECRET not in f"{caught.value} {dict(caught.value.metadata)}"
    assert "Incorrect key: ***" == caught.value.metadata["provider_message"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("alias", "c"), ("a", "b"), ("wild/x-1", "d"), ("wild/y", "c"), ("lonely", "b")],
)
async def test_whose_fallbacks_they_are(asked: str, expected: str) -> None:
    """An alias may have its own; then the group's name, the longest pattern that fits, and `*`."""
    group = [deployment(name) for name in ("a", "b", "c", "d", "wild/*", "lonely")]
    config = RouterConfig(
        num_retries=0,
        model_group_alias={"alias": "a"},
        fallbacks={"*": ["b"], "wild/*": ["c"], "wild/x-*": ["d"], "alias": ["c"], "a": ["b"]},
    )
    script = Script(group, config, a=[DOWN], lonely=[DOWN], **{"wild/*": [DOWN]})

    assert expected == (await script.run(asked)).group.name
