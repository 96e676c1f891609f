"""Metrics: the names and labels that dashboards ask for, sums that are right, and a bound on everything."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.call import CallInfo
from meshgate_edge.http.health import MeshState
from meshgate_edge.metrics.edge import CALLERS_MAX, LABEL_SETS_MAX, CallMetrics
from meshgate_edge.metrics.mesh import register_mesh_gauges
from meshgate_edge.metrics.table import COUNTERS, HISTOGRAMS
from tests.support.clock import ManualClock

SUCCESS = CallInfo(
    "id",
    "gpt",
    model_group="gpt",
    deployment_id="d-1",
    provider="openai",
    upstream_model="gpt-4o",
    api_base="https://provider",
    cost_usd_nanos=225_000,
    key_hash="ab" * 32,
    key_alias="alias",
    user_id="user",
    team_id="team",
    end_user="anyone",
    prompt_tokens=10,
    completion_tokens=20,
    duration_s=0.3,
    provider_duration_s=0.2,
    first_token_s=0.1,
    outcome="success",
)
BUDGET = MeshError(Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED", "over")
UNKNOWN_KEY = MeshError(Code.UNAUTHENTICATED, "KEY_UNKNOWN", "no")
PROVIDER = MeshError(Code.UNAVAILABLE, "PROVIDER_ERROR", "no", {"http_status": "503"})


class Observed:
    """Metrics, and what a scraper reads of them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = CallMetrics(self.registry, ["gpt"], ManualClock())

    def text(self) -> str:
        return generate_latest(self.registry).decode()

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of a name that have these labels."""
        return sum(
            value
            for named, having, value in self.samples()
            if named == name and labels.items() <= having.items()
        )

    def samples(self) -> list[tuple[str, Mapping[str, str], float]]:
        families = self.registry.collect()
        return [
            (sample.name, sample.labels, sample.value) for family in families for sample in family.samples
        ]


@pytest.fixture
def observed() -> Observed:
    """Nothing counted yet."""
    return Observed()


def test_a_success_is_in_every_family_of_its_kind(observed: Observed) -> None:
    """LiteLLM's labels, with the values that it gives them."""
    observed.metrics.finished(SUCCESS, None)
    caller = {"hashed_api_key": "ab" * 32, "api_key_alias": "alias", "team": "team", "user": "user"}

    assert 1 == observed.value(
        "litellm_proxy_total_requests_metric_total", requested_model="gpt", status_code="200", **caller
    )
    assert 0.000225 == observed.value("litellm_spend_metric_total", model="gpt-4o", **caller)
    assert 30 == observed.value("litellm_total_tokens_metric_total", requested_model="gpt", model="gpt-4o")
    assert 10 == observed.value("litellm_input_tokens_metric_total")
    assert 20 == observed.value("litellm_output_tokens_metric_total")
    assert 0.3 == observed.value("litellm_request_total_latency_metric_sum")
    assert 0.2 == observed.value("litellm_llm_api_latency_metric_sum", requested_model="gpt")
    assert 0.1 == observed.value("litellm_llm_api_time_to_first_token_metric_sum")
    assert 0.1 == pytest.approx(observed.value("litellm_overhead_latency_metric_sum", model_group="gpt"))
    assert 1 == observed.value(
        "litellm_deployment_success_responses_total",
        api_provider="openai",
        model_id="d-1",
        api_base="https://provider",
    )
    assert 0.01 == observed.value("litellm_deployment_latency_per_output_token_sum")
    assert 1 == observed.value("litellm_cache_misses_metric_total")
    assert 0 == observed.value("litellm_proxy_failed_requests_metric_total")


def test_names_that_litellm_does_not_have(observed: Observed) -> None:
    """Their `model` is the public name."""
    observed.metrics.finished(replace(SUCCESS, upstream_model="other-name"), None)

    assert 1 == observed.value("litellm_requests_total", model="gpt", status="success")
    assert 10 == observed.value("litellm_tokens_total", model="gpt", type="input")
    assert 20 == observed.value("litellm_tokens_total", model="gpt", type="output")
    assert 0.000225 == observed.value("litellm_cost_usd", model="gpt")
    assert 0.000225 == observed.value("litellm_model_cost_usd_total", model="gpt")
    assert 0.3 == observed.value("litellm_request_duration_seconds_sum", model="gpt")
    assert 1 == observed.value("litellm_cache_miss_total")


def test_twins_repeat_their_counters(observed: Observed) -> None:
    """Every sample, under the name without its suffix."""
    observed.metrics.finished(SUCCESS, None)
    observed.metrics.finished(replace(SUCCESS, outcome="failure"), PROVIDER)
    samples = observed.samples()

    for family in COUNTERS:
        if family.twin:
            named = {
                suffix: {
                    (frozenset(labels.items()), value)
                    for name, labels, value in samples
                    if name == family.name + suffix
                }
                for suffix in ("", "_total")
            }
            assert named[""] == named["_total"] != set()


def test_a_failure_is_counted_by_what_the_client_saw(observed: Observed) -> None:
    """Status and LiteLLM's name of the error."""
    observed.metrics.finished(replace(SUCCESS, outcome="denied", deployment_id=""), BUDGET)
    observed.metrics.finished(replace(SUCCESS, outcome="failure"), PROVIDER)

    failed = "litellm_proxy_failed_requests_metric_total"
    assert 1 == observed.value(failed, exception_status="429", exception_class="BudgetExceededError")
    assert 1 == observed.value(failed, exception_status="503", exception_class="ServiceUnavailableError")
    assert 1 == observed.value("litellm_deployment_failure_responses_total", api_provider="openai")
    assert 2 == observed.value("litellm_requests_total", status="failure")


def test_a_hit_is_counted_apart(observed: Observed) -> None:
    """Nobody served it."""
    observed.metrics.finished(replace(SUCCESS, outcome="cache_hit", cost_usd_nanos=0), None)

    assert (1, 0) == (observed.value("litellm_cache_hit_total"), observed.value("litellm_cache_miss_total"))
    assert 30 == observed.value("litellm_cached_tokens_metric_total")
    assert 0 == observed.value("litellm_deployment_success_responses_total")


def test_a_hit_is_of_its_model(observed: Observed) -> None:
    """Though no deployment was asked."""
    hit = replace(SUCCESS, outcome="cache_hit", cache_hit=True, upstream_model="", provider="")
    observed.metrics.finished(hit, None)

    assert 1 == observed.value("litellm_cache_hits_metric_total", model=SUCCESS.model_group)


def test_a_cancelled_call_is_neither_success_nor_failure(observed: Observed) -> None:
    """Its cost counts."""
    observed.metrics.finished(replace(SUCCESS, outcome="cancelled"), None)

    assert 1 == observed.value("litellm_proxy_total_requests_metric_total", status_code="499")
    assert 0 == observed.value("litellm_proxy_failed_requests_metric_total")
    assert 0.000225 == observed.value("litellm_spend_metric_total")


def test_compression_is_counted(observed: Observed) -> None:
    """What it saved, of a hundred."""
    compressed = replace(
        SUCCESS, original_prompt_tokens=100, compressed_prompt_tokens=40, compression_duration_s=0.25
    )
    observed.metrics.finished(compressed, None)

    assert 1 == observed.value("litellm_compression_requests_total")
    assert 60 == observed.value("litellm_compression_savings_percent_sum")
    assert 0.25 == observed.value("litellm_compression_latency_seconds_sum")


@pytest.mark.parametrize(
    "name",
    [
        'litellm_requests_total{model="gpt",status="success"} 0.0',
        'litellm_tokens_total{model="gpt",type="input"} 0.0',
        'litellm_request_duration_seconds_bucket{le="+Inf",model="gpt"} 0.0',
        'litellm_cost_usd{model="gpt"} 0.0',
        "litellm_cache_hit_total 0.0",
        "litellm_cache_miss_total 0.0",
        "litellm_compression_requests_total 0.0",
        "litellm_compression_savings_percent_count 0.0",
        "litellm_compression_latency_seconds_count 0.0",
        "litellm_in_flight_requests 0.0",
    ],
)
def test_plain_families_are_there_from_the_start(observed: Observed, name: str) -> None:
    """A first look finds them."""
    assert f"\n{name}\n" in observed.text()


def test_no_name_is_used_twice() -> None:
    """By families that differ in more than fixed labels."""
    names = [family.name for family in (*COUNTERS, *HISTOGRAMS) if not family.fixed]

    assert sorted(set(names)) == sorted(names)


def test_every_family_is_exposed_once(observed: Observed) -> None:
    """A text with two blocks of one name is no text for Prometheus."""
    observed.metrics.finished(SUCCESS, None)
    assert list(text_string_to_metric_families(observed.text()))
    types = [line for line in observed.text().splitlines() if line.startswith("# TYPE")]

    assert sorted(set(types)) == sorted(types)


def test_histograms_cumulate(observed: Observed) -> None:
    """A bound counts all that is not above it."""
    for duration_s in (0.01, 0.3, 1_000.0):
        observed.metrics.finished(replace(SUCCESS, duration_s=duration_s), None)
    name = "litellm_request_duration_seconds_bucket"

    counts = [observed.value(name, le=bound) for bound in ("0.005", "0.01", "0.5", "600.0", "+Inf")]
    assert [0, 1, 2, 2, 3] == counts


def test_what_clients_make_up_is_no_label(observed: Observed) -> None:
    """Models that do not exist, keys that do not exist, end users."""
    for number in range(50):
        made_up = CallInfo("id", f"model-{number}", key_hash=f"{number:064}", end_user=f"user-{number}")
        observed.metrics.finished(replace(made_up, outcome="denied"), UNKNOWN_KEY)

    total = "litellm_proxy_total_requests_metric_total"
    assert 50 == observed.value(total, requested_model="unknown", hashed_api_key="None", end_user="None")
    assert (
        50 == observed.value("litellm_auth_failed_total") == observed.value("litellm_invalid_api_key_total")
    )
    assert 0 == observed.value("litellm_auth_successful_total")


def test_a_key_that_the_provider_refuses_is_not_the_clients(observed: Observed) -> None:
    """Its 401 says nothing about who called."""
    refused = MeshError(Code.UNAUTHENTICATED, "PROVIDER_AUTHENTICATION_FAILED", "", {"http_status": "401"})
    observed.metrics.finished(replace(SUCCESS, outcome="failure"), refused)

    assert (0, 1) == (
        observed.value("litellm_auth_failed_total"),
        observed.value("litellm_auth_successful_total"),
    )


def test_label_sets_are_bounded_and_sums_stay_right(observed: Observed) -> None:
    """Too many keys and too many models are counted together."""
    count = 3 * LABEL_SETS_MAX
    for number in range(count):
        call = replace(SUCCESS, key_hash=f"{number:064}", upstream_model=f"m-{number}", model=f"m-{number}")
        observed.metrics.finished(call, None)
    total = "litellm_proxy_total_requests_metric_total"
    samples = [labels for name, labels, _ in observed.samples() if name == total]

    assert count == observed.value(total)
    assert count == round(observed.value("litellm_spend_metric_total") / 0.000225)
    assert len(samples) <= LABEL_SETS_MAX + 1
    assert len({labels["hashed_api_key"] for labels in samples}) <= CALLERS_MAX + 1


def test_a_scrape_while_calls_are_counted(observed: Observed) -> None:
    """It runs in another thread."""

    async def both() -> None:
        scrapes = [asyncio.to_thread(observed.text) for _ in range(3)]
        scraping = asyncio.gather(*scrapes)
        for number in range(200):
            observed.metrics.finished(replace(SUCCESS, key_hash=f"{number:064}"), None)
            if number % 20 == 0:
                await asyncio.sleep(0)
        await scraping

    asyncio.run(both())
    assert 200 == observed.value("litellm_requests_total", status="success")


def test_the_meshs_health_is_a_metric() -> None:
    """Read when somebody looks."""
    registry = CollectorRegistry()

    class Watch:
        up = MeshState(ledger=True, cache=False, compression=True, router=True)

        def state(self) -> MeshState:
            return self.up

    watch = Watch()
    register_mesh_gauges(registry, watch)
    assert 1 == registry.get_sample_value("litellm_postgres_up")
    assert 0 == registry.get_sample_value("litellm_redis_cache_up")
    assert 0 == registry.get_sample_value("meshgate_service_up", {"service": "cache"})

    watch.up = replace(watch.up, cache=True, ledger=False, store=False)
    assert 0 == registry.get_sample_value("litellm_redis_cache_up")
    watch.up = replace(watch.up, store=True)
    assert 1 == registry.get_sample_value("litellm_redis_cache_up")
    assert 0 == registry.get_sample_value("litellm_health_check_status")
    assert 1 == registry.get_sample_value("meshgate_service_up", {"service": "cache"})
