"""Which calls use the cache at all, and which of them share one call upstream."""

import pytest

from meshgate_chassis.config.model import CacheConfig
from meshgate_chassis.deadline import deadline_scope
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.cache.flight import Flights
from meshgate_edge.cache.step import wants_cache
from meshgate_edge.call import CacheOptions, CallInfo, CallOptions, ChatCall, Principal
from meshgate_edge.call_run import CallRun
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.chat.v1 import chat_pb2 as chat
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from tests.support.clock import ManualClock
from tests.unit.edge.test_cache_step import SilentCache


def run_of(
    cache: CacheOptions | None = None,
    *,
    stream: bool = False,
    timeout_s: float | None = None,
    call_type: str = "acompletion",
) -> CallRun:
    request = chat.ChatRequest(model="m", stream=stream)
    options = CallOptions(cache=cache or CacheOptions(), timeout_s=timeout_s)
    call = ChatCall("id", Principal("open"), request, options, call_type=call_type)
    return CallRun(call, CallInfo("id", "m"), 1, 0, 0.0, ledger_pb.Account())


@pytest.mark.parametrize(
    ("kinds", "kind", "wanted"),
    [
        (None, "acompletion", True),
        (None, "aembedding", True),
        (("acompletion",), "acompletion", True),
        (("completion",), "acompletion", True),
        (("acompletion",), "aembedding", False),
        (("acompletion",), "atext_completion", False),
        (("atext_completion", "aembedding"), "atext_completion", True),
        ((), "acompletion", False),
    ],
)
def test_kinds_of_calls(kinds: tuple[str, ...] | None, kind: str, wanted: bool) -> None:
    """As `supported_call_types` says; with or without LiteLLM's leading a; an empty list means none."""
    config = CacheConfig(enabled=True, supported_call_types=kinds)

    assert wanted == wants_cache(config, run_of(call_type=kind))


@pytest.mark.parametrize(
    ("config", "run", "wanted"),
    [
        (CacheConfig(enabled=True), run_of(), True),
        (CacheConfig(enabled=True, single_flight=False), run_of(), False),
        (CacheConfig(enabled=True), run_of(stream=True), False),
        (CacheConfig(enabled=True, single_flight_streams=True), run_of(stream=True), True),
        (CacheConfig(enabled=True), run_of(CacheOptions(read=False)), False),
        (CacheConfig(enabled=True), run_of(CacheOptions(write=False)), False),
        (CacheConfig(enabled=True), run_of(CacheOptions(max_age_s=5.0)), False),
        (CacheConfig(enabled=True), run_of(timeout_s=0.5), False),
        (CacheConfig(enabled=True), run_of(timeout_s=30.0), True),
    ],
)
def test_who_waits_for_others(config: CacheConfig, run: CallRun, wanted: bool) -> None:
    """Only calls that may read and store any answer, and have the time."""
    flights = Flights(CacheServiceClient(SilentCache()), config, TaskOwner("t", 1), ManualClock())

    assert wanted == flights.wanted(run)
    with deadline_scope(0.5):
        assert not flights.wanted(run)
