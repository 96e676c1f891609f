"""Virtual keys by HTTP, as LiteLLM's clients know them; what is changed counts at the very next call."""

import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from tests.mesh.management import info, ok, reason, shown
from tests.mesh.subject import CONFIG, Subject
from tests.support.demo_provider import demo_provider
from tests.support.mesh_in_process import mesh_in_process

STRICT = """
  max_internal_user_budget: 0.000001
  internal_user_budget_duration: 1d
  upperbound_key_generate_params: {rpm_limit: 9}
general_settings:
  default_budget: 3
  litellm_key_budget_duration: 30d
"""


async def test_a_key_with_everything(subject: Subject) -> None:
    """Is told again as it was given; nothing of it is left unenforced."""
    given: dict[str, Any] = {
        "key_alias": "all",
        "user_id": "u",
        "team_id": "t",
        "organization_id": "o",
        "max_budget": 0.123456789,
        "soft_budget": 0.1,
        "budget_duration": "30d",
        "budget_limits": [{"max_budget": 0.01, "budget_duration": "1h"}],
        "model_max_budget": {"demo": {"budget_limit": 0.5, "time_period": "1d"}, "claude": 2},
        "rpm_limit": 100,
        "tpm_limit": 100000,
        "rpd_limit": 1000,
        "tpd_limit": 1000000,
        "max_parallel_requests": 7,
        "model_rpm_limit": {"demo": 50},
        "model_tpm_limit": {"demo": 50000},
        "models": ["demo"],
        "aliases": {"fast": "demo"},
        "tags": ["t1"],
        "metadata": {"a": [1, None]},
        "duration": "2w",
    }
    answer = await subject.post("/key/generate", given)
    assert "x-meshgate-not-enforced" not in answer.headers
    key = answer.json["key"]
    assert b'"max_budget":0.123456789' in answer.body  # every digit
    assert {"prompts", "router_settings", "rpm_limit_type", "tpm_limit_type"} <= answer.json.keys()

    told = await info(subject, key)
    expected = given | {
        "model_max_budget": {
            "demo": {"budget_limit": 0.5, "time_period": "1d"},
            "claude": {"budget_limit": 2.0, "time_period": None},
        }
    }
    del expected["duration"]
    assert expected == {name: told["info"][name] for name in expected}
    assert told["info"]["budget_reset_at"] and told["expires"]
    assert {"rotation_interval", "last_rotation_at", "key_rotation_at"} <= told["info"].keys()
    assert (0.0, 0.123456789, "active") == (told["spend"], told["budget_remaining"], told["status"])
    assert 200 == (await subject.ask("hello", key, model="fast")).status
    spent = (await info(subject, key))["spend"]
    assert spent > 0
    for path in ("/user/info?user_id=u", "/team/info?team_id=t", "/organization/info?organization_id=o"):
        row = await shown(subject, path)
        assert spent == (row.get("user_info") or row.get("team_info") or row)["spend"], path


async def test_an_update_changes_what_is_given(subject: Subject) -> None:
    """And nothing else; null removes; the next call knows."""
    key = await subject.new_key(max_budget=1, rpm_limit=5, models=["demo"], metadata={"a": 1}, key_alias="k")

    told = await ok(subject, "/key/update", key=key, max_budget=2, metadata=None)
    assert (2.0, 5, ["demo"], {}, "k") == tuple(
        told[name] for name in ("max_budget", "rpm_limit", "models", "metadata", "key_alias")
    )
    told = await ok(subject, "/key/update", key=told["token"], max_budget=None, models=["claude"])
    assert (None, 5) == (told["max_budget"], told["rpm_limit"])
    assert (403, "key_model_access_denied") == reason(await subject.ask("hello", key))
    await ok(subject, "/key/update", key=key, models=[], max_budget=0)
    assert (429, "budget_exceeded") == reason(await subject.ask("hello", key))
    await ok(subject, "/key/update", key=key, max_budget=1)
    assert 200 == (await subject.ask("hello", key)).status

    answer = await subject.post("/key/update", {"key": key, "guardrails": ["g"]})
    assert "guardrails" == answer.headers["x-meshgate-not-enforced"]
    answer = await subject.post("/key/update", {"key": key, "enforced_params": ["user"]})
    assert "x-meshgate-not-enforced" not in answer.headers
    assert (["g"], ["user"]) == (answer.json["guardrails"], answer.json["enforced_params"])
    assert 404 == (await subject.post("/key/update", {"key": "sk-nobody-has-this", "rpm": 1})).status


async def test_a_blocked_key_is_refused_at_once(subject: Subject) -> None:
    """And may call again when it is unblocked."""
    key = await subject.new_key()
    assert 200 == (await subject.ask("hello", key)).status

    assert (await ok(subject, "/key/block", key=key))["blocked"]
    assert (401, "auth_error") == reason(await subject.ask("hello", key))
    assert "blocked" == (await info(subject, key))["status"]
    assert not (await ok(subject, "/key/unblock", key=key))["blocked"]
    assert 200 == (await subject.ask("hello", key)).status


@pytest.mark.parametrize("in_path", [True, False])
async def test_another_secret_for_the_same_key(subject: Subject, in_path: bool) -> None:
    """The old one is dead at once; budget and spend go on, and the books balance."""
    old = await subject.new_key(max_budget=1, key_alias="alias", models=["demo"])
    assert 200 == (await subject.ask("first", old)).status
    before = await info(subject, old)

    path = f"/key/{before['key']}/regenerate" if in_path else "/key/regenerate"
    made = await ok(subject, path, **({} if in_path else {"key": old}), rpm_limit=9)

    new = made["key"]
    assert old != new
    assert ("alias", 1.0, before["spend"], 9) == (
        made["key_alias"],
        made["max_budget"],
        made["spend"],
        made["rpm_limit"],
    )
    assert 401 == (await subject.ask("second", old)).status
    assert 404 == (await subject.get(f"/key/info?key={old}")).status
    assert 200 == (await subject.ask("third", new)).status
    assert (await info(subject, new))["spend"] > before["spend"]
    entries = await subject.entries()
    assert 1 == len({entry["account_id"] for entry in entries})
    assert 401 == (await subject.ask("again", old)).status
    assert 400 == (await subject.post("/key/regenerate", {"key": new, "new_key": old})).status


async def test_keys_are_listed(subject: Subject) -> None:
    """Page by page, filtered and sorted; a key sees itself."""
    keys = [await subject.new_key(key_alias=f"alias-{n}", user_id=f"u{n % 2}") for n in range(5)]

    page = await shown(
        subject, "/key/list?page=2&size=2&sort_by=key_alias&sort_order=asc&return_full_object=true"
    )
    assert (5, 2, 3) == (page["total_count"], page["current_page"], page["total_pages"])
    assert ["alias-2", "alias-3"] == [row["key_alias"] for row in page["keys"]]
    mine = await shown(subject, "/key/list?user_id=u1")
    assert 2 == mine["total_count"]
    assert all(isinstance(each, str) and len(each) == 64 for each in mine["keys"])
    own = await subject.get("/key/list?return_full_object=true", keys[3])
    assert ["alias-3"] == [row["key_alias"] for row in own.json["keys"]]
    assert [f"alias-{n}" for n in range(5)] == (await shown(subject, "/key/aliases"))["aliases"]
    assert 401 == (await subject.get("/key/aliases", keys[0])).status
    assert "healthy" == (await subject.post("/key/health", {}, keys[0])).json["key"]
    rows = await ok(subject, "/v2/key/info", keys=[keys[0], "sk-none-of-them-at-all"])
    assert ["alias-0"] == [row["key_alias"] for row in rows["info"]]
    for query in ("sort_by=secret", "page=0", "size=1001", "sort_order=;drop"):
        assert 422 == (await subject.get(f"/key/list?{query}")).status


async def test_rates_and_parallel_calls_of_a_key(subject: Subject) -> None:
    """Are kept by the seed's short names, too."""
    key = await subject.new_key(rpm=2)

    assert [200, 200, 429] == [(await subject.ask(f"hello {n}", key)).status for n in range(3)]
    await ok(subject, "/key/update", key=key, rpm=3)
    assert [200, 429] == [(await subject.ask(f"again {n}", key)).status for n in range(2)]
    await ok(subject, "/key/update", key=key, rpm_limit=None, model_rpm_limit={"demo": 0})
    assert 429 == (await subject.ask("hello", key)).status
    assert 200 == (await subject.ask("hello", key, model="claude")).status
    await ok(subject, "/key/update", key=key, model_rpm_limit=None, max_parallel_requests=0)
    assert 429 == (await subject.ask("hello", key)).status


async def test_a_budget_for_one_model(subject: Subject) -> None:
    """Other models are free to use."""
    key = await subject.new_key(model_max_budget={"demo": {"budget_limit": 0, "time_period": "1d"}})

    assert (429, "budget_exceeded") == reason(await subject.ask("hello", key))
    assert 200 == (await subject.ask("hello", key, model="claude")).status


async def test_secrets_are_nowhere(subject: Subject) -> None:
    """Not in the database, in whatever table."""

    key = await subject.new_key(key_alias="a", user_id="u")
    new = (await ok(subject, "/key/regenerate", key=key))["key"]
    connection = await asyncpg.connect(subject.mesh.database_url)
    try:
        for table in ("keys", "entities", "changes", "accounts", "limits"):
            rows = await connection.fetch(f"SELECT to_jsonb(t)::text AS row FROM ledger.{table} t")
            text = json.dumps([row["row"] for row in rows])
            assert key not in text
            assert new not in text
    finally:
        await connection.close()


@pytest.fixture
async def strict(postgres_dsn: str) -> AsyncIterator[Subject]:
    """A mesh whose configuration says something about new keys and users."""
    folder = Path(tempfile.mkdtemp(prefix="mg"))
    try:
        async with demo_provider() as provider:
            config = CONFIG.format(url=provider.url) + STRICT
            async with mesh_in_process(config, folder, postgres_dsn) as mesh:
                async with aiohttp.ClientSession() as session:
                    yield Subject(mesh, provider, session)
    finally:
        shutil.rmtree(folder)


async def test_the_configuration_speaks_for_new_keys(strict: Subject) -> None:
    """Defaults where nothing is given, refusal above the bound; users that come without limits get theirs."""
    made = await ok(strict, "/key/generate", user_id="u")
    assert (3.0, "30d", 9) == (made["max_budget"], made["budget_duration"], made["rpm_limit"])
    refused = await strict.post("/key/generate", {"rpm_limit": 10})
    assert (400, "rpm_limit") == (refused.status, refused.json["error"]["param"])
    user = (await shown(strict, "/user/info?user_id=u"))["user_info"]
    assert (0.000001, "1d") == (user["max_budget"], user["budget_duration"])
    assert 429 == (await strict.ask("hello", made["key"])).status
