"""The router's pure rules: choice, names, cooldowns, pauses, timeouts, kinds of errors."""

from collections import Counter
from random import Random

import pytest

from meshgate_chassis.config.model import RouterConfig
from meshgate_router.breaker import Breaker
from meshgate_router.catalog import Catalog
from meshgate_router.failures import CODES
from meshgate_router.providers.base import ErrorKind, ProviderError
from meshgate_router.providers.error_kinds import details_of, error_of, kind_of, retry_after_s
from meshgate_router.retry import Situation, pause_s, worth_of
from meshgate_router.strategies.candidate import Candidate
from meshgate_router.strategies.simple_shuffle import simple_shuffle
from meshgate_router.timing import TimeoutRules, call_limits, configured_s
from tests.support.clock import ManualClock
from tests.unit.router.support import deployment

DRAWS = 4_000


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([{"weight": 3.0}, {"weight": 1.0}], 0.75),
        ([{"rpm": 900}, {"rpm": 100}], 0.9),
        ([{"tpm": 1}, {"tpm": 1}], 0.5),
        ([{}, {}], 0.5),
        ([{"weight": 1.0, "rpm": 1}, {"weight": 1.0, "rpm": 99}], 0.5),
        ([{"weight": 1.0}, {}], 1.0),
    ],
)
def test_simple_shuffle_follows_the_weights(weights: list[dict[str, float]], expected: float) -> None:
    """weight before rpm before tpm before chance."""
    group = [deployment("a", id=str(number), **members) for number, members in enumerate(weights)]
    random = Random(7)
    candidates = [Candidate(each) for each in group]
    drawn = Counter(simple_shuffle(candidates, random)[0].deployment.id for _ in range(DRAWS))

    assert expected == pytest.approx(drawn["0"] / DRAWS, abs=0.03)


def catalog() -> Catalog:
    deployments = [
        deployment("gpt"),
        deployment("openai/*", upstream_model="*"),
        deployment("openai/gpt-*", upstream_model="ft-*", id="longer"),
        deployment("openai/gpt-4o", upstream_model="gpt-4o"),
        deployment("odd", "carrier-pigeon", id="odd"),
        deployment("gpt", "carrier-pigeon", id="mixed"),
    ]
    router = RouterConfig(
        model_group_alias={"best": "gpt", "nowhere": "nobody", "hidden": "gpt", "openai/gpt-4o": "gpt"},
        hidden_aliases={"hidden"},
        default_fallbacks=("gpt",),
    )
    return Catalog(deployments, router, {"openai", "anthropic"})


@pytest.mark.parametrize(
    ("name", "deployment_id", "upstream_model"),
    [
        ("best", "id-gpt", "gpt-upstream"),
        ("hidden", "id-gpt", "gpt-upstream"),
        ("openai/gpt-5", "longer", "ft-5"),
    ],
)
def test_names(name: str, deployment_id: str, upstream_model: str) -> None:
    """As the configuration's rules say."""
    group = catalog().find(name)
    assert group is not None
    found = group.deployments[0]

    assert (deployment_id, upstream_model) == (found.id, found.upstream_model)


def test_unknown_names_and_providers() -> None:
    """Nobody answers to them; a deployment of an unknown provider steps back where there are others."""
    subject = catalog()
    mixed = subject.find("gpt")
    odd = subject.find("odd")
    assert mixed is not None
    assert odd is not None

    assert None is subject.find("claude")
    assert None is subject.find("nowhere")
    assert 1 == len(mixed.deployments)
    assert 1 == len(odd.deployments)
    assert ["odd", "mixed"] == [item.id for item in subject.unusable]


def test_public_models() -> None:
    """Aliases first, then the configuration's order; no patterns, dead or hidden aliases, no name twice."""
    assert ["best", "openai/gpt-4o", "gpt", "odd"] == [item.id for item in catalog().public_models()]


def failed(kind: ErrorKind, retry_after: float | None = None) -> ProviderError:
    return ProviderError(kind, "", 500, retry_after_s=retry_after)


def cools(config: RouterConfig, kinds: list[ErrorKind], *, alternatives: bool) -> bool:
    clock = ManualClock()
    subject = Breaker(config, clock)
    where = deployment()
    for kind in kinds:
        subject.failed(where, failed(kind), alternatives=alternatives)
    return subject.cooling_s(where) > 0


DOWN, LIMITED, WRONG = ErrorKind.UNAVAILABLE, ErrorKind.RATE_LIMITED, ErrorKind.BAD_REQUEST


@pytest.mark.parametrize(
    ("allowed_fails", "kinds", "alternatives", "expected"),
    [
        (3, [DOWN] * 3, False, False),
        (3, [DOWN] * 4, False, True),
        (0, [DOWN], False, True),
        (0, [WRONG] * 9, True, False),
        (3, [LIMITED], True, False),
        (None, [DOWN] * 50, False, False),
        (None, [LIMITED], False, False),
        (None, [LIMITED], True, True),
        (None, [ErrorKind.AUTHENTICATION_FAILED], True, True),
        (None, [DOWN] * 4, True, False),
        (None, [DOWN] * 5, True, True),
    ],
)
def test_cooldowns(
    allowed_fails: int | None, kinds: list[ErrorKind], alternatives: bool, expected: bool
) -> None:
    """A configured number is taken literally; without one, only groups with an alternative cool down."""
    assert expected == cools(RouterConfig(allowed_fails=allowed_fails), kinds, alternatives=alternatives)


def test_failures_are_counted_by_the_minute_and_good_answers_too() -> None:
    """Old failures are forgotten; a deployment that mostly works stays."""
    clock = ManualClock()
    subject = Breaker(RouterConfig(allowed_fails=1), clock)
    where = deployment()
    for _ in range(5):
        assert not subject.failed(where, failed(DOWN), alternatives=False)
        clock.advance(60.0)

    subject = Breaker(RouterConfig(), clock)
    for _ in range(6):
        subject.succeeded(where)
    for _ in range(5):
        assert not subject.failed(where, failed(DOWN), alternatives=True)
    assert not subject.failed(where, failed(DOWN), alternatives=True)
    assert subject.failed(where, failed(DOWN), alternatives=True)


def test_a_cooldown_lasts_as_configured_or_as_the_provider_says() -> None:
    """cooldown_time, or Retry-After; models behind one wildcard cool down one by one."""
    clock = ManualClock()
    subject = Breaker(RouterConfig(allowed_fails=0, cooldown_time_s=5.0), clock)
    where, other = deployment("*", upstream_model="x"), deployment("*", upstream_model="y")
    subject.failed(where, failed(LIMITED, 17.0), alternatives=False)
    assert 17.0 == subject.cooling_s(where)
    assert 0.0 == subject.cooling_s(other)

    subject.failed(other, failed(DOWN), alternatives=False)
    assert 5.0 == subject.cooling_s(other)
    clock.advance(5.0)
    assert 0.0 == subject.cooling_s(other)
    assert 12.0 == subject.cooling_s(where)


def situation(
    retry: int = 0, *, others: bool = False, fallbacks: bool = False, least_s: float = 0.0
) -> Situation:
    return Situation(retry, others, fallbacks, least_s)


@pytest.mark.parametrize(
    ("error", "where", "expected"),
    [
        (failed(DOWN), situation(), 0.5),
        (failed(DOWN), situation(9), 8.0),
        (failed(DOWN), situation(least_s=3.0), 3.0),
        (failed(DOWN), situation(others=True), 0.0),
        (failed(LIMITED, 60.0), situation(), 60.0),
        (failed(LIMITED, 60.1), situation(), None),
        (failed(LIMITED, 9.0), situation(fallbacks=True), None),
        (failed(LIMITED, 0.0), situation(), 0.5),
        (failed(ErrorKind.TIMEOUT), situation(), 0.5),
        (failed(ErrorKind.TIMEOUT), situation(fallbacks=True), None),
        (failed(ErrorKind.AUTHENTICATION_FAILED), situation(), None),
        (failed(ErrorKind.AUTHENTICATION_FAILED), situation(others=True), 0.0),
        (failed(WRONG), situation(others=True), None),
    ],
)
def test_pauses(error: ProviderError, where: Situation, expected: float | None) -> None:
    """Without jitter; None: no further call in the group."""
    assert expected == pause_s(error, where, 0.0)


def test_every_kind_of_error_has_a_rule_and_a_code() -> None:
    """A new kind without a row fails here."""
    for kind in ErrorKind:
        assert worth_of(kind)
        assert CODES[kind]


RULES = TimeoutRules(connect_s=5.0, between_reads_s=60.0)


def test_configured_limits() -> None:
    """The deployment's own, then the router's; a stream's own before it."""
    router = RouterConfig(timeout_s=600.0, stream_timeout_s=50.0)
    plain, timed = deployment(), deployment(timeout_s=3.0, stream_timeout_s=2.0)

    assert 600.0 == configured_s(plain, router, stream=False)
    assert 50.0 == configured_s(plain, router, stream=True)
    assert 3.0 == configured_s(timed, router, stream=False)
    assert 2.0 == configured_s(timed, router, stream=True)
    assert 3.0 == configured_s(deployment(timeout_s=3.0), router, stream=True)


def test_limits_of_a_call() -> None:
    """A whole answer has one limit; a stream has it until its first chunk and for each pause."""
    whole = call_limits(3.0, None, 100.0, RULES, stream=False)
    stream = call_limits(3.0, None, 100.0, RULES, stream=True)
    hurried = call_limits(600.0, 1.0, 100.0, RULES, stream=False)
    assert whole is not None
    assert stream is not None
    assert hurried is not None

    assert (3.0, 3.0, False) == (whole.timeouts.first_byte_s, whole.timeouts.total_s, whole.shortened)
    assert (3.0, 3.0) == (stream.timeouts.first_byte_s, stream.timeouts.between_reads_s)
    assert stream.timeouts.total_s == pytest.approx(99.98)
    assert (1.0, True) == (hurried.timeouts.total_s, hurried.shortened)
    assert None is call_limits(3.0, None, 0.05, RULES, stream=False)


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (400, "", ErrorKind.BAD_REQUEST),
        (400, "This model's maximum context length is 8192", ErrorKind.CONTEXT_WINDOW_EXCEEDED),
        (400, "prompt is too long: 210000 tokens > 200000", ErrorKind.CONTEXT_WINDOW_EXCEEDED),
        (413, "Request too large: input is too long", ErrorKind.CONTEXT_WINDOW_EXCEEDED),
        (400, "The response was filtered: content management policy", ErrorKind.CONTENT_FILTERED),
        (401, "", ErrorKind.AUTHENTICATION_FAILED),
        (402, "", ErrorKind.OTHER),
        (403, "", ErrorKind.AUTHENTICATION_FAILED),
        (404, "maximum context length", ErrorKind.NOT_FOUND),
        (408, "", ErrorKind.TIMEOUT),
        (409, "", ErrorKind.OTHER),
        (422, "", ErrorKind.BAD_REQUEST),
        (429, "too many tokens", ErrorKind.RATE_LIMITED),
        (500, "", ErrorKind.UNAVAILABLE),
        (503, "", ErrorKind.UNAVAILABLE),
        (504, "", ErrorKind.TIMEOUT),
        (529, "", ErrorKind.UNAVAILABLE),
    ],
)
def test_kinds_of_errors(status: int, text: str, expected: ErrorKind) -> None:
    """By status; by words only where the status is not enough."""
    assert expected is kind_of(status, text)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"m"}}', "m"),
        (b'{"error":"m"}', "m"),
        (b'{"message":"m"}', "m"),
        (b'{"detail":"m"}', "m"),
        (b'[{"error":{"message":"m"}}]', "m"),
        (b"m", "m"),
        (b"", "the provider answered with status 500"),
        (b'{"error":null}', "the provider answered with status 500"),
        (b"7", "7"),
    ],
)
def test_messages_of_errors(body: bytes, message: str) -> None:
    """Whatever the shape of the body."""
    assert message == error_of(500, details_of(body), {}).message


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        (
            {"retry-after": "Fri, 21 Nov 2025 10:00:30 GMT", "date": "Fri, 21 Nov 2025 10:00:00 GMT"},
            30.0,
        ),
        ({"retry-after": "Fri, 21 Nov 2025 10:00:30 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    """A number, milliseconds, or a date against the provider's own clock."""
    assert expected == retry_after_s(headers)
