"""Bring your own key: a tenant's calls go with the tenant's credential, which only the router can read."""

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from tests.mesh.subject import CONFIG, Subject
from tests.support.demo_provider import demo_provider
from tests.support.eventually import eventually
from tests.support.mesh_in_process import mesh_in_process

SECRET = "sk-the-tenants-own-secret-7x9z"


@pytest.fixture
async def sealing(postgres_dsn: str) -> AsyncIterator[Subject]:
    """A mesh that can keep credentials."""
    folder = Path(tempfile.mkdtemp(prefix="mg"))
    try:
        async with demo_provider() as provider:
            config, key = CONFIG.format(url=provider.url), secrets.token_hex(32)
            async with mesh_in_process(config, folder, postgres_dsn, credentials_key=key) as mesh:
                async with aiohttp.ClientSession() as session:
                    yield Subject(mesh, provider, session)
    finally:
        shutil.rmtree(folder)


async def manage(
    subject: Subject, method: str, path: str, body: Any = None, key: str = ""
) -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {key or subject.mesh.master_key}"}
    url = f"{subject.mesh.url}{path}"
    async with subject.session.request(method, url, json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def put(subject: Subject, secret: str = SECRET, **more: Any) -> tuple[int, Any]:
    body = {
        "credential_name": "theirs",
        "credential_values": {"api_key": secret},
        "credential_info": {"custom_llm_provider": "openai", "description": "of the tenant"},
    } | more
    return await manage(subject, "POST", "/credentials", body)


async def shown_keys(subject: Subject) -> list[str]:
    """The last characters of the credential of each call that reached the provider."""
    return [request["headers"].get("authorization", "")[-4:] for request in await subject.served()]


async def test_a_teams_calls_go_with_its_own_credential(sealing: Subject) -> None:
    """Within a moment, streamed or not; others' do not; the cost is recorded all the same; and back again."""
    theirs, others = await sealing.new_key(team_id="t"), await sealing.new_key()
    assert 200 == (await put(sealing, team_id="t"))[0]
    number = 0

    async def with_own(*, stream: bool = False) -> bool:
        nonlocal number
        number += 1
        answer = await sealing.ask(f"question {number}", key=theirs, stream=stream)
        assert 200 == answer.status
        return (await shown_keys(sealing))[-1] == SECRET[-4:]

    await eventually(with_own, "the credential is used")
    assert await with_own(stream=True)
    await sealing.ask("another question", key=others)
    assert "cret" == (await shown_keys(sealing))[-1]
    assert all(entry["amount_nanos"] > 0 for entry in await sealing.entries())
    assert 200 == (await manage(sealing, "DELETE", "/credentials/theirs"))[0]

    async def with_the_gateways() -> bool:
        return not await with_own()

    await eventually(with_the_gateways, "the credential is gone")


async def test_nobody_sees_the_secret_again(sealing: Subject) -> None:
    """Neither in answers nor in the database."""
    assert 200 == (await put(sealing, team_id="t"))[0]
    status, listed = await manage(sealing, "GET", "/credentials")
    _, one = await manage(sealing, "GET", "/credentials/by_name/theirs")
    assert 200 == status
    assert [one] == listed["credentials"]
    assert ("theirs", "t", "openai", {}) == (
        one["credential_name"],
        one["team_id"],
        one["credential_info"]["custom_llm_provider"],
        one["credential_values"],
    )
    connection = await asyncpg.connect(sealing.mesh.database_url)
    row = dict(await connection.fetchrow("SELECT * FROM ledger.credentials"))
    await connection.close()
    assert SECRET not in str(listed) + str(row)
    assert SECRET.encode() not in row["sealed"]


async def test_a_credential_that_the_provider_refuses_harms_nobody_else(sealing: Subject) -> None:
    """Its owner is told, without the secret; the deployment stays in service for all others."""
    theirs = await sealing.new_key(team_id="t")
    await put(sealing, team_id="t")
    for number in range(6):
        answer = await sealing.ask(f"demo:fail=401 {number}", key=theirs)
        assert 200 != answer.status
        assert SECRET.encode() not in answer.body
    assert 200 == (await sealing.ask("still there?")).status


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"team_id": None}, 400),
        ({"user_id": "u"}, 400),
        ({"provider": "nobody-knows-me"}, 400),
        ({"credential_values": {}}, 400),
        ({"credential_values": {"api_key": "x", "region": "y"}}, 400),
        ({"credential_values": {"api_key": "x", "api_base": "file:///etc/passwd"}}, 400),
    ],
)
async def test_what_cannot_be_used_is_refused(sealing: Subject, more: dict[str, Any], status: int) -> None:
    """At entry, naming the member and no value."""
    told, body = await put(sealing, **({"team_id": "t"} | more))
    assert status == told, body
    assert SECRET not in str(body)
    assert {"success": True, "credentials": []} == (await manage(sealing, "GET", "/credentials"))[1]


async def test_only_the_admin_manages_credentials(sealing: Subject) -> None:
    """A key is not enough, not even for its own."""
    key = await sealing.new_key()
    for method, path in (("GET", "/credentials"), ("POST", "/credentials"), ("DELETE", "/credentials/x")):
        body = {
            "credential_name": "x",
            "credential_values": {"api_key": "y"},
            "provider": "openai",
            "team_id": "t",
        }
        assert 401 == (await manage(sealing, method, path, body, key=key))[0]
    assert 404 == (await manage(sealing, "DELETE", "/credentials/x"))[0]


async def test_without_a_sealing_key_nothing_is_kept_and_calls_go_on(subject: Subject) -> None:
    """The error names the setting."""
    status, body = await put(subject, team_id="t")
    assert 400 == status
    assert "MESHGATE_CREDENTIALS_KEY" in body["error"]["message"]
    assert 200 == (await subject.ask("Hi")).status


async def test_a_keys_credential_goes_with_its_new_secret(sealing: Subject) -> None:
    """The same credential, owned by the new hash; the old one has none."""
    old = await sealing.new_key()
    assert 200 == (await put(sealing, key=old))[0]
    made = await sealing.post(f"/key/{old}/regenerate", {})
    assert 200 == made.status
    number = 0

    async def with_own() -> bool:
        nonlocal number
        number += 1
        assert 200 == (await sealing.ask(f"question {number}", key=made.json["key"])).status
        return (await shown_keys(sealing))[-1] == SECRET[-4:]

    await eventually(with_own, "the new secret calls with the credential")
    _, listed = await manage(sealing, "GET", "/credentials")
    assert [made.json["token"]] == [each["key"] for each in listed["credentials"]]
