"""What a request asks of the gateway is understood, checked, and kept from the provider."""

from typing import Any

import pytest

from meshgate_chassis.errors import MeshError
from meshgate_edge.call import CacheOptions, CallOptions, CompressionOptions
from meshgate_edge.http.options import split_options

CHAT: dict[str, Any] = {"model": "gpt", "messages": []}


def options_of(members: dict[str, Any], headers: dict[str, str] | None = None) -> CallOptions:
    """Of a body with further members, all of which are the gateway's."""
    chat, options = split_options(CHAT | members, headers or {})
    assert {name: chat[name] for name in CHAT} == CHAT
    assert set(chat) - set(CHAT) <= {"stream"}
    return options


def test_nothing_asked_is_nothing_set() -> None:
    """And the body stays as it is, members that nobody knows included."""
    body = CHAT | {"temperature": 0, "store": True, "thinking": {"type": "enabled"}, "unknown": [1]}

    assert (body, CallOptions()) == split_options(body, {"content-type": "application/json"})


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"cache": {"no-cache": True}}, CacheOptions(read=False)),
        ({"cache": {"no-store": True}}, CacheOptions(write=False)),
        ({"cache": {"no-cache": False, "ttl": 60}}, CacheOptions(ttl_s=60)),
        ({"cache": {"ttl": 0}}, CacheOptions(write=False, ttl_s=0)),
        ({"metadata": {"redis_namespace": "n"}}, CacheOptions(namespace="n")),
        ({"metadata": {"redis_namespace": "n"}, "cache": {"namespace": "m"}}, CacheOptions(namespace="m")),
        ({"cache": {"s-maxage": 5}}, CacheOptions(max_age_s=5)),
        ({"cache": {"s-max-age": 0.5}}, CacheOptions(max_age_s=0.5)),
        ({"cache": {"namespace": "n", "use-cache": True}}, CacheOptions(namespace="n", opt_in=True)),
        ({"cache": {}}, CacheOptions()),
        ({"cache": None, "caching": None}, CacheOptions()),
        ({"caching": False}, CacheOptions(read=False, write=False)),
        ({"caching": True}, CacheOptions()),
    ],
)
def test_cache_members(members: dict[str, Any], expected: CacheOptions) -> None:
    """LiteLLM's."""
    assert expected == options_of(members).cache


@pytest.mark.parametrize(
    ("header", "cache", "expected"),
    [
        ("no-cache", None, CacheOptions(read=False)),
        ("No-Store", None, CacheOptions(write=False)),
        ("no-cache, no-store", None, CacheOptions(read=False, write=False)),
        ("max-age=0", None, CacheOptions(max_age_s=0)),
        ("private, s-maxage=60", None, CacheOptions(max_age_s=60)),
        ("max-age=99999999999999999999", None, CacheOptions(max_age_s=30 * 86_400)),
        ("max-age=soon, max-age=-1, only-if-cached", None, CacheOptions()),
        ("no-cache, max-age=5", {"no-cache": False, "s-maxage": 9}, CacheOptions(max_age_s=9)),
        ("max-age=5", {"s-max-age": 9}, CacheOptions(max_age_s=9)),
    ],
)
def test_cache_control_of_http(header: str, cache: Any, expected: CacheOptions) -> None:
    """For clients that cannot change their bodies; the body wins, member by member."""
    assert expected == options_of({"cache": cache}, {"cache-control": header}).cache


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (True, CompressionOptions(enabled=True)),
        (False, CompressionOptions(enabled=False)),
        ({}, CompressionOptions(enabled=True)),
        ({"enabled": False}, CompressionOptions(enabled=False)),
        ({"target_ratio": 1, "rag": True}, CompressionOptions(enabled=True, target_ratio=1, rag=True)),
        (
            {"min_tokens": 0, "compressor": "none", "guard": False},
            CompressionOptions(enabled=True, min_tokens=0, compressor="none", guard=False),
        ),
        (None, CompressionOptions()),
    ],
)
def test_compression_members(asked: Any, expected: CompressionOptions) -> None:
    """Ours."""
    assert expected == options_of({"compression": asked}).compression


@pytest.mark.parametrize(
    ("members", "headers", "expected"),
    [
        ({"num_retries": 0}, {"x-litellm-num-retries": "3"}, 0),
        ({"max_retries": 4}, {}, 4),
        ({}, {"x-litellm-num-retries": "3"}, 3),
        ({"num_retries": None}, {}, None),
    ],
)
def test_retries(members: dict[str, Any], headers: dict[str, str], expected: int | None) -> None:
    """The body before the header."""
    assert expected == options_of(members, headers).num_retries


@pytest.mark.parametrize(
    ("members", "headers", "expected"),
    [
        ({"timeout": 3}, {"x-litellm-timeout": "9"}, 3.0),
        ({"request_timeout": 3}, {}, 3.0),
        ({}, {"x-litellm-timeout": "0.5"}, 0.5),
        ({}, {"x-litellm-stream-timeout": "7"}, None),
        ({"stream": True}, {"x-litellm-stream-timeout": "7", "x-litellm-timeout": "9"}, 7.0),
        ({"stream": True, "stream_timeout": 8, "timeout": 9}, {}, 8.0),
        ({"stream_timeout": 8, "timeout": 9}, {}, 9.0),
    ],
)
def test_timeouts(members: dict[str, Any], headers: dict[str, str], expected: float | None) -> None:
    """A stream has its own."""
    assert expected == options_of(members, headers).timeout_s


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["a", "b"], ("a", "b")),
        ([{"model": "a", "messages": []}], ("a",)),
        ([{"gpt": ["a", "b"]}, {"other": ["c"]}], ("a", "b")),
        ([], ()),
        (None, ()),
    ],
)
def test_fallbacks(asked: Any, expected: tuple[str, ...]) -> None:
    """All forms of LiteLLM; groups of other models say nothing about this one."""
    assert expected == options_of({"fallbacks": asked}).fallbacks


@pytest.mark.parametrize(
    ("asked", "header", "expected"),
    [(None, "on", True), (None, " OFF ", False), (True, "off", True), ({}, "off", True), (None, None, None)],
)
def test_compression_by_header(asked: Any, header: str | None, expected: bool | None) -> None:
    """For clients that cannot change their bodies; the body wins."""
    headers = {} if header is None else {"x-meshgate-compression": header}
    assert expected == options_of({"compression": asked}, headers).compression.enabled


def test_tags_come_from_everywhere_once() -> None:
    """Body, metadata and header, in this order."""
    members = {"tags": ["a", "b"], "metadata": {"tags": ["b", "c"], "trace_id": "t"}}

    assert ("a", "b", "c", "d") == options_of(members, {"x-litellm-tags": "c, d,,"}).tags


def test_members_for_litellm_alone_never_reach_the_provider() -> None:
    """They would be refused there."""
    members = ("litellm_session_id", "litellm_trace_id", "guardrails", "drop_params", "mock_response")
    named = ("mock_testing_fallbacks", "extra_headers", "allowed_openai_params", "metadata")

    assert CallOptions() == options_of(dict.fromkeys((*members, *named)))


def test_extra_body_adds_and_never_replaces() -> None:
    """So that no check can be passed by; what it adds is checked like the rest."""
    chat, options = split_options(CHAT | {"extra_body": {"model": "x", "top_k": 3, "num_retries": 2}}, {})

    assert (CHAT | {"top_k": 3}, 2) == (chat, options.num_retries)


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"cache": []}, "cache"),
        ({"cache": {"ttl": "1"}}, "cache.ttl"),
        ({"cache": {"ttl": -1}}, "cache.ttl"),
        ({"cache": {"s-maxage": True}}, "cache.s-maxage"),
        ({"cache": {"no-cache": 1}}, "cache.no-cache"),
        ({"cache": {"namespace": ""}}, "cache.namespace"),
        ({"caching": "no"}, "caching"),
        ({"compression": "yes"}, "compression"),
        ({"compression": {"ratio": 1}}, "compression.ratio"),
        ({"compression": {"target_ratio": 0}}, "compression.target_ratio"),
        ({"compression": {"target_ratio": 10**400}}, "compression.target_ratio"),
        ({"compression": {"min_tokens": 0.5}}, "compression.min_tokens"),
        ({"compression": {"rag": "x"}}, "compression.rag"),
        ({"compression": {"compressor": 1}}, "compression.compressor"),
        ({"compression": {"compressor": "zip"}}, "compression.compressor"),
        ({"compression": {"rag_target_ratio": 0.01}}, "compression.rag_target_ratio"),
        ({"compression": {"guard": "no"}}, "compression.guard"),
        ({"num_retries": -1}, "num_retries"),
        ({"num_retries": 11}, "num_retries"),
        ({"num_retries": True}, "num_retries"),
        ({"max_retries": "2"}, "max_retries"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": []}, "timeout"),
        ({"fallbacks": "gpt"}, "fallbacks"),
        ({"fallbacks": [1]}, "fallbacks[0]"),
        ({"fallbacks": [{"gpt": "a"}]}, "fallbacks[0].gpt"),
        ({"fallbacks": [{"model": None}]}, "fallbacks[0].model"),
        ({"fallbacks": ["x"] * 11}, "fallbacks"),
        ({"tags": "a"}, "tags"),
        ({"tags": [1]}, "tags[0]"),
        ({"tags": [str(number) for number in range(65)]}, "tags"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {"tags": {}}}, "metadata.tags"),
        ({"extra_body": 1}, "extra_body"),
        ({"api_base": "http://attacker"}, "api_base"),
        ({"extra_body": {"api_key": "x"}}, "api_key"),
    ],
)
def test_a_wrong_member_is_named(members: dict[str, Any], path: str) -> None:
    """With its path, and with it first in the message."""
    with pytest.raises(MeshError) as caught:
        split_options(CHAT | members, {})

    assert [path] == list(caught.value.fields)
    assert caught.value.message.startswith(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-litellm-timeout", "soon"),
        ("x-litellm-timeout", "nan"),
        ("x-meshgate-compression", "maybe"),
        ("x-litellm-timeout", "-1"),
        ("x-litellm-num-retries", "1.5"),
        ("x-litellm-num-retries", "99"),
        ("x-litellm-num-retries", "²"),
        ("x-litellm-tags", "x" * 300),
    ],
)
def test_a_wrong_header_is_named(name: str, value: str) -> None:
    """Like a member."""
    with pytest.raises(MeshError) as caught:
        split_options(CHAT, {name: value})

    assert [name] == list(caught.value.fields)
