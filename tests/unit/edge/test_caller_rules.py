"""Members that a call must have and controls that it may use, as its key says."""

import pytest

from meshgate_chassis.errors import MeshError
from meshgate_edge.call import CacheOptions, CallOptions, ChatCall, Principal
from meshgate_edge.caller_rules import cache_controls, check_caller, members_of
from meshgate_edge.http.options import split_options
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

BODY = {"user": "u", "metadata": {"a": {"b": 0}, "c": None}, "seed": 0, "stop": None, "tools": [], "n": False}


def call(options: CallOptions = CallOptions()) -> ChatCall:  # noqa: B008 - frozen
    members = members_of(BODY)
    return ChatCall("id", Principal("virtual_key", "k"), chat_pb.ChatRequest(), options, members=members)


@pytest.mark.parametrize("name", ["user", "metadata", "metadata.a", "metadata.a.b", "seed", "tools", "n"])
def test_what_is_there_is_enough(name: str) -> None:
    """Whatever its value, but null."""
    check_caller(pb.Account(enforced_params=[name]), call())


@pytest.mark.parametrize("name", ["stop", "metadata.c", "metadata.d", "user.a", "tools.a", "nothing", "a.b"])
def test_the_first_that_is_missing_is_named(name: str) -> None:
    """As the field that is wrong."""
    with pytest.raises(MeshError) as raised:
        check_caller(pb.Account(enforced_params=["user", name, "later"]), call())
    assert ("FIELD_INVALID", [name]) == (raised.value.reason, list(raised.value.fields))


@pytest.mark.parametrize(
    ("body", "controls"),
    [
        ({}, []),
        ({"cache": {"no-cache": True, "no-store": True}}, ["no-cache", "no-store"]),
        ({"cache": {"no-cache": False, "ttl": 5}}, ["ttl"]),
        ({"cache": {"ttl": 0}}, ["ttl"]),
        ({"cache": {"s-max-age": 5, "namespace": "n"}}, ["s-maxage", "namespace"]),
        ({"cache": {"use-cache": True}}, ["use-cache"]),
        ({"metadata": {"redis_namespace": "n"}}, ["namespace"]),
        ({"caching": False}, ["no-cache", "no-store"]),
    ],
)
def test_controls_by_their_names(body: dict[str, object], controls: list[str]) -> None:
    """However a call says so."""
    _, options = split_options(body, {})
    assert controls == cache_controls(options.cache)


def test_a_control_that_is_not_allowed_is_named() -> None:
    """LiteLLM's words; either name of s-maxage allows it."""
    options = CallOptions(cache=CacheOptions(max_age_s=5.0))
    check_caller(pb.Account(), call(options))
    check_caller(pb.Account(allowed_cache_controls=["s-max-age"]), call(options))
    check_caller(pb.Account(allowed_cache_controls=["ttl"]), call())
    with pytest.raises(MeshError, match="Not allowed to set s-maxage as a cache control"):
        check_caller(pb.Account(allowed_cache_controls=["ttl"]), call(options))
