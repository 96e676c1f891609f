"""One request is one trace through every service, down to the provider call."""

import aiohttp

from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.otlp_receiver import OtlpReceiver, otlp_receiver
from tests.support.running_mesh import RunningMesh, running_mesh

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
CONFIG = """
model_list:
  - model_name: demo
    litellm_params:
      model: openai/demo
      api_base: {url}/v1
      api_key: none-needed
litellm_settings:
  cache: true
  cache_params: {{type: local}}
compression_settings: {{enabled: true, min_tokens: 50}}
"""
LONG_TEXT = " ".join(
    f"On day {day} the keeper of lighthouse number {day % 7} wrote down the weather." for day in range(60)
)


async def test_a_request_is_one_trace() -> None:
    """A client's traceparent gives spans of all five services and the provider call, under its id."""
    async with otlp_receiver() as receiver, demo_provider() as provider:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "LITELLM_MASTER_KEY": "sk-trace-test",
        }
        config = CONFIG.format(url=provider.url)
        with running_mesh(config=config, environment=environment) as mesh:
            headers = await ask(mesh, provider.url)

            services = await eventually(lambda: complete(receiver), "spans of all services")

    assert {"edge", "ledger", "cache", "compression", "router"} <= services
    spans = [span for span in receiver.spans if span.trace_id == TRACE_ID]
    by_id = {span.span_id: span for span in spans}
    roots = [span for span in spans if span.parent_id not in by_id]
    assert [PARENT_ID] == [span.parent_id for span in roots]
    assert "POST /v1/chat/completions" == roots[0].name
    provider_span = next(span for span in spans if span.attributes.get("gen_ai.request.model"))
    assert "meshgate-router" == provider_span.service
    assert f"00-{TRACE_ID}-{provider_span.span_id}-01" == headers["traceparent"]
    assert "lighthouse" not in str([span.attributes for span in spans])


async def ask(mesh: RunningMesh, provider_url: str) -> dict[str, str]:
    """One request with a trace; the headers that reached the provider."""
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": f"{LONG_TEXT}\n\nWhat did the keeper write on day 12?"}],
    }
    headers = {
        "authorization": f"Bearer {mesh.master_key}",
        "traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01",
    }
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{mesh.url}/v1/chat/completions", json=body, headers=headers) as answer:
            assert 200 == answer.status, await answer.text()
        async with session.get(f"{provider_url}/demo/requests") as record:
            served = (await record.json())["requests"]
    return dict(served[-1]["headers"])


def complete(receiver: OtlpReceiver) -> set[str]:
    """The services that have reported spans of our trace, once all five and the root have."""
    spans = [span for span in receiver.spans if span.trace_id == TRACE_ID]
    services = {span.service.removeprefix("meshgate-") for span in spans}
    has_root = any(span.parent_id == PARENT_ID for span in spans)
    return services if has_root and len(services) >= 5 else set()
