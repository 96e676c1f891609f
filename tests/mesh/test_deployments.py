"""What operators see of deployments: /health with and without probes, metrics, and the list of models."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.mesh.subject import Answer, Subject, subject_with
from tests.support.eventually import eventually

CHAT = "/v1/chat/completions"
CONFIG = """
model_list:
  - model_name: good
    litellm_params: {{model: openai/good, api_base: "{url}/v1", api_key: sk-x, rpm: 100}}
    model_info: {{id: good, access_groups: [everyday]}}
  - model_name: down
    litellm_params: {{model: openai/down, api_base: "http://127.0.0.1:9/v1", api_key: sk-x}}
    model_info: {{id: down}}
  - model_name: any/*
    litellm_params: {{model: "openai/*", api_base: "{url}/v1", api_key: sk-x}}
    model_info: {{id: any}}
router_settings: {{num_retries: 0, allowed_fails: 0, cooldown_time: 300}}
"""


@pytest.fixture
async def subject(postgres_dsn: str) -> AsyncIterator[Subject]:
    async with subject_with(CONFIG, postgres_dsn) as made:
        yield made


async def get(subject: Subject, path: str, *, key: bool = True) -> Answer:
    headers = subject.headers() if key else {}
    async with subject.session.get(f"{subject.mesh.url}{path}", headers=headers) as answer:
        return Answer(answer.status, answer.headers, await answer.read())


async def ask(subject: Subject, model: str) -> Answer:
    return await subject.post(CHAT, {"model": model, "messages": [{"role": "user", "content": "Hi"}]})


async def test_health_and_metrics_follow_the_router(subject: Subject) -> None:
    """Nobody is called for them; the operator sees more than a probe does."""
    assert 200 == (await ask(subject, "good")).status
    assert 500 <= (await ask(subject, "down")).status

    async def told() -> Any:
        health = (await get(subject, "/health", key=False)).json
        return health if health["unhealthy_count"] == 1 else None

    health = await eventually(told, "the edge has read the router's state")
    (down,) = health["unhealthy_endpoints"]
    assert ("degraded", "down", "cooling_down") == (health["status"], down["model_id"], down["health"])
    assert 200 < down["cooling_seconds"] <= 300
    assert "last_failure" not in down

    health = (await get(subject, "/health")).json
    good = next(each for each in health["healthy_endpoints"] if each["model_id"] == "good")
    assert "PROVIDER_UNAVAILABLE" == health["unhealthy_endpoints"][0]["last_failure"]
    assert (1, 0) == (good["answers"], good["in_flight"])
    assert good["limits"]["rpm"]["used"] in (0, 1)  # 0: another minute has begun

    metrics = (await get(subject, "/metrics", key=False)).body.decode()
    labels = 'api_base="http://127.0.0.1:9/v1",api_provider="openai",'
    assert f'litellm_deployment_state{{{labels}litellm_model_name="down",model_id="down"}} 2.0' in metrics
    cooled = f'litellm_deployment_cooled_down_total{{{labels}exception_status="'
    assert cooled in metrics


async def test_probes_are_for_the_operator(subject: Subject) -> None:
    """With LiteLLM's words for the answer, and for the question `model` and `model_id`; or `probe=true`."""
    assert 401 == (await get(subject, "/health?probe=true", key=False)).status
    assert [] == await requests_of(subject)

    everything = (await get(subject, "/health?probe=true")).json
    assert (1, 2) == (everything["healthy_count"], everything["unhealthy_count"])
    errors = {each["model_id"]: each["error"] for each in everything["unhealthy_endpoints"]}
    assert errors["down"].startswith("PROVIDER_UNAVAILABLE: ")
    assert {"down", "any"} == set(errors)

    assert 200 == (await get(subject, "/health?model=good")).status
    assert 503 == (await get(subject, "/health?model=down")).status
    assert 2 == len(await requests_of(subject))
    assert 400 == (await get(subject, "/health?model=nobody")).status


async def requests_of(subject: Subject) -> list[Any]:
    """What reached the provider."""
    async with subject.session.get(f"{subject.provider.url}/demo/requests") as answer:
        found: list[Any] = (await answer.json())["requests"]
        return found


async def test_patterns_and_access_groups_are_listed_when_asked_for(subject: Subject) -> None:
    """As LiteLLM's query says."""

    async def ids(query: str) -> list[str]:
        return [each["id"] for each in (await get(subject, f"/v1/models{query}")).json["data"]]

    assert ["good", "down"] == await ids("")
    assert ["good", "down", "any/*"] == await ids("?return_wildcard_routes=true")
    assert ["good", "down", "everyday"] == await ids("?include_model_access_groups=true")
    assert ["everyday"] == await ids("?only_model_access_groups=true")
    assert 200 == (await ask(subject, "any/thing")).status


async def test_a_key_sees_what_it_may_use(subject: Subject) -> None:
    """Named itself, by a pattern, or by an access group."""

    async def seen(models: list[str]) -> list[str]:
        made = await subject.post("/key/generate", {"models": models})
        headers = subject.headers(made.json["key"])
        url = f"{subject.mesh.url}/v1/models?return_wildcard_routes=true"
        async with subject.session.get(url, headers=headers) as answer:
            return [each["id"] for each in (await answer.json())["data"]]

    assert ["good"] == await seen(["good"])
    assert ["any/*"] == await seen(["any/*"])
    assert ["good"] == await seen(["everyday"])
