"""What config.yaml says of customers, tags, new users, teams and keys, and of who may reach the gateway."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest

from meshgate_protos.chat.v1 import chat_pb2
from meshgate_protos.gateway.v1 import gateway_service_pb2 as pb
from meshgate_protos.gateway.v1 import gateway_service_pb2_grpc
from tests.mesh.management import info, ok, reason, shown
from tests.mesh.subject import CONFIG, Subject
from tests.support.demo_provider import demo_provider
from tests.support.mesh_in_process import mesh_in_process

Configured = Callable[[str], AbstractAsyncContextManager[Subject]]


@pytest.fixture
async def configured(postgres_dsn: str) -> AsyncIterator[Configured]:
    """A mesh with more of a configuration: `litellm_settings` goes on, then other sections."""

    @asynccontextmanager
    async def mesh_with(more: str) -> AsyncIterator[Subject]:
        folder = Path(tempfile.mkdtemp(prefix="mg"))
        try:
            config = CONFIG.format(url=provider.url) + more
            async with (
                mesh_in_process(config, folder, postgres_dsn) as mesh,
                aiohttp.ClientSession() as session,
            ):
                yield Subject(mesh, provider, session)
        finally:
            shutil.rmtree(folder)

    async with demo_provider() as provider:
        yield mesh_with


async def test_customers_without_limits_share_the_terms_of_a_budget(configured: Configured) -> None:
    """Each has its own money of it; who has a budget keeps that; a change of the budget counts at once."""
    async with configured("  max_end_user_budget_id: everybody\n") as subject:
        key = await subject.new_key()
        await ok(subject, "/budget/new", budget_id="everybody", rpm_limit=1, max_budget=5)
        await ok(subject, "/customer/new", user_id="rich", rpm_limit=3)
        await ok(subject, "/customer/new", user_id="modest", model_rpm_limit={"claude": 0})

        for name in ("one", "two"):
            told = [(await subject.ask(f"{name} {n}", key, user=name)).status for n in range(2)]
            assert [200, 429] == told, name
        assert [200, 200, 200, 429] == [
            (await subject.ask(f"rich {n}", key, user="rich")).status for n in range(4)
        ]
        assert [200, 200] == [(await subject.ask(f"modest {n}", key, user="modest")).status for n in range(2)]
        assert 429 == (await subject.ask("hello", key, user="modest", model="claude")).status
        shown_one = await shown(subject, "/customer/info?end_user_id=one")
        assert ("everybody", 5.0) == (shown_one["budget_id"], shown_one["litellm_budget_table"]["max_budget"])
        await ok(subject, "/budget/update", budget_id="everybody", rpm_limit=2)
        assert [200, 429] == [(await subject.ask(f"again {n}", key, user="one")).status for n in range(2)]
        assert 200 == (await subject.ask("nobody's")).status


async def test_a_budget_that_is_not_there_limits_nobody(configured: Configured) -> None:
    """The log says so; calls go on, as they do with LiteLLM."""
    async with configured("  max_end_user_budget_id: nothing\n") as subject:
        for name in ("one", "two"):
            assert 200 == (await subject.ask("hello", user=name)).status
        assert [] == await shown(subject, "/customer/list")


TAGGED = """\
  tag_budget_config:
    "team:red": {max_budget: 0.00000001, budget_duration: 1d}
    managed: {max_budget: 0}
    often: {rpm: 1}
"""


async def test_tags_have_configured_budgets(configured: Configured) -> None:
    """Of requests and of keys; whoever manages a tag decides; what is configured no more is gone."""
    async with configured(TAGGED) as subject:
        key = await subject.new_key(tags=["team:red"])
        assert (429, "budget_exceeded") == reason(await subject.ask("hello", key))
        assert (429, "budget_exceeded") == reason(await subject.ask("hello", tags=["team:red"]))
        assert [200, 429] == [(await subject.ask(f"{n}", tags=["often"])).status for n in range(2)]
        assert 429 == (await subject.ask("hello", tags=["managed"])).status
        await ok(subject, "/tag/new", name="managed", max_budget=7)
        assert 200 == (await subject.ask("hello", tags=["managed"])).status
    async with configured("") as subject:
        assert 200 == (await subject.ask("hello", key)).status
        assert 7.0 == (await shown(subject, "/tag/list"))[0]["max_budget"]


DEFAULTS = """\
  default_soft_budget: 0.5
  default_internal_user_params: {user_role: internal_user, max_budget: 3, budget_duration: 1d, models: [demo]}
  default_team_params: {max_budget: 9, tpm_limit: 90000, models: [demo]}
general_settings:
  max_parallel_requests: 4
"""


async def test_new_users_teams_and_keys_get_what_is_configured(configured: Configured) -> None:
    """Unless they are given something else; also those that a key names get the budget."""
    async with configured(DEFAULTS) as subject:
        user = await ok(subject, "/user/new", user_id="u")
        assert ("internal_user", 3.0, "1d", ["demo"]) == tuple(
            user[name] for name in ("user_role", "max_budget", "budget_duration", "models")
        )
        other = await ok(
            subject, "/user/new", user_role="proxy_admin_viewer", max_budget=1, models=["claude"]
        )
        assert ("proxy_admin_viewer", 1.0, ["claude"]) == (
            other["user_role"],
            other["max_budget"],
            other["models"],
        )
        assert 403 == (await subject.ask("hello", user["key"], model="claude")).status
        team = await ok(subject, "/team/new", team_id="t", tpm_limit=7)
        assert (9.0, 7, ["demo"]) == (team["max_budget"], team["tpm_limit"], team["models"])
        key = await ok(subject, "/key/generate", user_id="v", team_id="w")
        assert (0.5, 4) == (key["soft_budget"], key["max_parallel_requests"])
        assert 3.0 == (await shown(subject, "/user/info?user_id=v"))["user_info"]["max_budget"]
        assert 9.0 == (await shown(subject, "/team/info?team_id=w"))["team_info"]["max_budget"]
        key = await ok(subject, "/key/generate", soft_budget=2, max_parallel_requests=0)
        assert (2.0, 0) == (key["soft_budget"], key["max_parallel_requests"])
        await ok(subject, "/budget/new", budget_id="b", max_budget=1)
        assert None is (await ok(subject, "/user/new", budget_id="b"))["max_budget"]


REQUIRED = """\
  block_requests_for_models_without_pricing: true
  require_auth_for_metrics_endpoint: true
general_settings:
  litellm_key_header_name: X-Gate-Key
  enforce_user_param: true
  enforced_params: [metadata.generation_name]
"""


async def test_what_every_request_has_to_say(configured: Configured) -> None:
    """Who the end user is, and the members that are required; a key in a header of one's own."""
    said: dict[str, Any] = {"user": "u", "metadata": {"generation_name": "g"}}
    async with configured(REQUIRED) as subject:
        assert 200 == (await subject.ask("hello", **said)).status
        for left_out in ("user", "metadata"):
            refused = await subject.ask("hello", **{name: said[name] for name in said if name != left_out})
            assert 400 == refused.status
            assert refused.json["error"]["param"].startswith(left_out)
        embeddings = {"model": "demo", "input": "hello"}
        assert 400 == (await subject.post("/v1/embeddings", embeddings)).status

        key = await subject.new_key(key_alias="own header")
        headers = {"x-gate-key": f"Bearer {key}", "authorization": "Bearer something else"}
        async with subject.session.get(f"{subject.mesh.url}/key/info", headers=headers) as answer:
            assert "own header" == (await answer.json())["key_alias"]

        async with subject.session.get(f"{subject.mesh.url}/metrics") as answer:
            assert 401 == answer.status
        assert 401 == (await subject.get("/metrics", "sk-nobody-has-this-one")).status
        assert 403 == (await subject.get("/metrics", await subject.new_key(key_type="llm_api"))).status
        assert 200 == (await subject.get("/metrics", key)).status
        assert 200 == (await subject.get("/metrics")).status


async def test_what_every_call_over_grpc_has_to_say(configured: Configured) -> None:
    """The same as over HTTP."""
    async with configured(REQUIRED) as subject, grpc.aio.insecure_channel(subject.mesh.gateway) as channel:
        stub = gateway_service_pb2_grpc.GatewayServiceStub(channel)
        headers = (("authorization", f"Bearer {subject.mesh.master_key}"),)
        message = chat_pb2.Message(role="user", text="hello")
        said = b'{"metadata": {"generation_name": "g"}}'
        for user, extra in (("", said), ("u", b"")):
            chat = chat_pb2.ChatRequest(model="demo", messages=[message], user=user, extra_json=extra)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.CreateChat(pb.CreateChatRequest(chat=chat), metadata=headers, timeout=30)
            assert grpc.StatusCode.INVALID_ARGUMENT == caught.value.code()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await anext(
                    aiter(stub.StreamChat(pb.StreamChatRequest(chat=chat), metadata=headers, timeout=30))
                )
            assert grpc.StatusCode.INVALID_ARGUMENT == caught.value.code()
        chat = chat_pb2.ChatRequest(model="demo", messages=[message], user="u", extra_json=said)
        answer = await stub.CreateChat(pb.CreateChatRequest(chat=chat), metadata=headers, timeout=30)
        assert answer.response.choices[0].message.text


async def test_what_a_key_wants_of_calls_over_grpc(subject: Subject) -> None:
    """Its members and its cache's controls, as over HTTP."""
    key = await subject.new_key(enforced_params=["user", "metadata.scenario"], allowed_cache_controls=["ttl"])
    headers = (("authorization", f"Bearer {key}"),)
    message = chat_pb2.Message(role="user", text="hello")
    said = b'{"metadata": {"scenario": "s"}}'
    async with grpc.aio.insecure_channel(subject.mesh.gateway) as channel:
        stub = gateway_service_pb2_grpc.GatewayServiceStub(channel)
        for user, extra, no_cache, code in (
            (None, said, False, grpc.StatusCode.INVALID_ARGUMENT),
            ("u", b"", False, grpc.StatusCode.INVALID_ARGUMENT),
            ("u", said, True, grpc.StatusCode.PERMISSION_DENIED),
        ):
            chat = chat_pb2.ChatRequest(model="demo", messages=[message], user=user, extra_json=extra)
            asked = pb.CreateChatRequest(chat=chat, options=pb.GatewayOptions(no_cache=no_cache))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.CreateChat(asked, metadata=headers, timeout=30)
            assert code == caught.value.code()
        chat = chat_pb2.ChatRequest(model="demo", messages=[message], user="u", extra_json=said)
        answer = await stub.CreateChat(pb.CreateChatRequest(chat=chat), metadata=headers, timeout=30)
        assert answer.response.choices[0].message.text
    assert 1 == len(await subject.served())


@pytest.mark.parametrize(
    ("more", "forwarded", "status"),
    [
        ("allowed_ips: [127.0.0.0/8]", "", 200),
        ("allowed_ips: [10.0.0.1]", "", 403),
        ("allowed_ips: [10.0.0.1]", "10.0.0.1", 403),
        ("{allowed_ips: [10.0.0.1], use_x_forwarded_for: true}", "10.0.0.1", 200),
        ("{allowed_ips: [10.0.0.1], use_x_forwarded_for: true}", "10.0.0.1, 10.0.0.2", 403),
    ],
)
async def test_only_from_allowed_addresses(
    configured: Configured, more: str, forwarded: str, status: int
) -> None:
    """Calls, management and metrics alike; probes of the platform are answered anyway. What a caller says of
    itself before the proxy's own word does not count."""
    written = more if more.startswith("{") else f"{{{more}}}"
    async with configured(f"general_settings: {written}\n") as subject:
        headers = subject.headers() | ({"x-forwarded-for": forwarded} if forwarded else {})
        for path in ("/key/list", "/metrics", "/v1/models"):
            async with subject.session.get(f"{subject.mesh.url}{path}", headers=headers) as answer:
                assert status == answer.status, path
        async with subject.session.post(
            f"{subject.mesh.url}/v1/chat/completions",
            json={"model": "demo", "messages": [{"role": "user", "content": "hello"}]},
            headers=headers,
        ) as answer:
            assert status == answer.status
        assert 200 == (await subject.get("/health/liveliness")).status


async def test_a_key_knows_its_routes_without_the_configuration(subject: Subject) -> None:
    """What is not configured asks for nothing."""
    assert 200 == (await subject.get("/metrics", "sk-nobody")).status
    assert "default" == (await info(subject, await subject.new_key()))["key_type"]
