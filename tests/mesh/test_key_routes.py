"""`allowed_routes` and `key_type` of keys, and the roles of users: who may call, see and change what."""

from typing import Any

import pytest

from tests.mesh.management import info, ok, reason
from tests.mesh.subject import Subject

REFUSED = (403, "auth_error")
EMBEDDINGS = {"model": "demo", "input": ["hello"]}


async def statuses(subject: Subject, key: str) -> dict[str, int]:
    """What a key is told on one path of each sort."""
    return {
        "chat": (await subject.ask("hello", key)).status,
        "embeddings": (await subject.post("/v1/embeddings", EMBEDDINGS, key)).status,
        "models": (await subject.get("/v1/models", key)).status,
        "info": (await subject.get("/key/info", key)).status,
        "spend": (await subject.get("/spend/logs", key)).status,
        "generate": (await subject.post("/key/generate", {}, key)).status,
    }


@pytest.mark.parametrize(
    ("rules", "may"),
    [
        ({"allowed_routes": ["/chat/completions"]}, {"chat"}),
        ({"allowed_routes": ["/v1/*"]}, {"chat", "embeddings", "models"}),
        ({"allowed_routes": ["/key/*", "/spend/logs"]}, {"info", "spend", "generate"}),
        ({"allowed_routes": ["llm_api_routes"]}, {"chat", "embeddings", "models"}),
        ({"key_type": "llm_api"}, {"chat", "embeddings", "models"}),
        ({"key_type": "management"}, {"info", "generate"}),
        ({"key_type": "read_only"}, {"info", "models"}),
        ({"key_type": "default"}, {"chat", "embeddings", "models", "info", "spend", "generate"}),
    ],
)
async def test_a_key_calls_what_its_routes_allow(subject: Subject, rules: Any, may: set[str]) -> None:
    """403 elsewhere, in OpenAI's format, before anything is held; a plain key gains no right by it."""
    answer = await subject.post("/key/generate", rules)
    assert "x-meshgate-not-enforced" not in answer.headers
    told = await statuses(subject, answer.json["key"])

    refused = {name for name, status in told.items() if status == 403}
    assert set(told) - may == refused
    if "generate" in may:
        assert 401 == told["generate"]  # only the admin
    if "chat" in may:
        assert 200 == told["chat"]
    else:
        denied = await subject.ask("hello", answer.json["key"])
        assert REFUSED == reason(denied)
        assert "/v1/chat/completions" in denied.json["error"]["message"]
        assert [] == await subject.served()


async def test_routes_are_changed_and_shown(subject: Subject) -> None:
    """The next call knows; null removes; both words at once are refused."""
    made = await ok(subject, "/key/generate", key_type="read_only")
    key = made["key"]
    assert (["info_routes"], "read_only") == (made["allowed_routes"], made["key_type"])
    assert 403 == (await subject.ask("hello", key)).status

    told = await ok(subject, "/key/update", key=key, allowed_routes=["/v1/chat/completions"])
    assert (["/v1/chat/completions"], "default") == (told["allowed_routes"], told["key_type"])
    assert 200 == (await subject.ask("hello", key)).status
    assert 403 == (await subject.get("/key/info", key)).status
    await ok(subject, "/key/update", key=key, rpm_limit=50)
    assert ["/v1/chat/completions"] == (await info(subject, key))["allowed_routes"]
    new = (await ok(subject, "/key/regenerate", key=key))["key"]
    assert 403 == (await subject.get("/key/info", new)).status
    await ok(subject, "/key/update", key=new, allowed_routes=None)
    assert 200 == (await subject.get("/key/info", new)).status

    both = {"key_type": "llm_api", "allowed_routes": ["/key/info"]}
    assert 400 == (await subject.post("/key/generate", both)).status
    assert 422 == (await subject.post("/key/generate", {"key_type": "god"})).status


async def test_a_forged_host_gains_nothing(subject: Subject) -> None:
    """The path that is judged is the one that is served, whatever the Host header says."""
    key = await subject.new_key(allowed_routes=["/health"])
    headers = {"authorization": f"Bearer {key}", "host": "gateway/health?"}
    async with subject.session.get(f"{subject.mesh.url}/key/info", headers=headers) as answer:
        assert 403 == answer.status


async def role(subject: Subject, name: str) -> str:
    """A key of a user with this role."""
    made = await ok(subject, "/user/new", user_id=name, user_role=name)
    return str(made["key"])


async def test_an_admin_by_role_sees_and_manages_all(subject: Subject) -> None:
    """Until the user is blocked, or gets another role; as the holder of the master key, but for resets."""
    admin, other = await role(subject, "proxy_admin"), await subject.new_key(key_alias="other")
    assert 200 == (await subject.ask("hello", other)).status
    await subject.entries()

    logs = await subject.get("/spend/logs", admin)
    assert 1 == len(logs.json)
    assert 2 == (await subject.get("/key/list", admin)).json["total_count"]
    assert 200 == (await subject.post("/key/update", {"key": other, "rpm_limit": 1}, admin)).status
    assert 200 == (await subject.get("/credentials", admin)).status
    assert 401 == (await subject.post("/global/spend/reset", {}, admin)).status

    await ok(subject, "/user/update", user_id="proxy_admin", blocked=True)
    assert [] == (await subject.get("/spend/logs", admin)).json
    assert 401 == (await subject.post("/key/update", {"key": other, "rpm_limit": 2}, admin)).status
    await ok(subject, "/user/update", user_id="proxy_admin", blocked=False, user_role="internal_user")
    assert [] == (await subject.get("/spend/logs", admin)).json
    assert 401 == (await subject.post("/key/update", {"key": other, "rpm_limit": 2}, admin)).status
    assert 401 == (await subject.get("/credentials", admin)).status


WRITES: list[tuple[str, dict[str, Any]]] = [
    ("/key/generate", {}),
    ("/key/update", {"key": "sk-the-key-of-somebody", "rpm_limit": 1}),
    ("/key/regenerate", {"key": "sk-the-key-of-somebody"}),
    ("/key/block", {"key": "sk-the-key-of-somebody"}),
    ("/key/delete", {"key": "sk-the-key-of-somebody"}),
    ("/user/new", {}),
    ("/user/update", {"user_id": "proxy_admin_viewer", "user_role": "proxy_admin"}),
    ("/user/delete", {"user_ids": ["proxy_admin_viewer"]}),
    ("/team/new", {}),
    ("/team/member_add", {"team_id": "t", "member": {"role": "user", "user_id": "u"}}),
    ("/customer/new", {"user_id": "c"}),
    ("/budget/new", {}),
    ("/organization/new", {}),
    ("/tag/new", {"name": "t"}),
    ("/credentials", {}),
    ("/global/spend/reset", {}),
]
READS = (
    *("/key/list", "/key/aliases", "/user/list", "/team/list", "/v2/team/list", "/customer/list"),
    *("/organization/list", "/tag/list", "/budget/list", "/spend/keys", "/spend/users", "/global/spend"),
    *("/global/spend/keys", "/global/spend/teams"),
)


async def test_a_viewer_reads_all_and_changes_nothing(subject: Subject) -> None:
    """proxy_admin_viewer: reports and lists of everybody; nothing that changes anything."""
    viewer, other = await role(subject, "proxy_admin_viewer"), await subject.new_key(key_alias="other")
    assert 200 == (await subject.ask("hello", other)).status
    await subject.entries()

    assert 1 == len((await subject.get("/spend/logs", viewer)).json)
    assert "other" == (await subject.get(f"/key/info?key={other}", viewer)).json["key_alias"]
    for path in READS:
        assert 200 == (await subject.get(path, viewer)).status, path
    for path, body in WRITES:
        answer = await subject.post(path, body, viewer)
        assert answer.status in (401, 422), (path, answer.body)
    assert "other" == (await info(subject, other))["key_alias"]


@pytest.mark.parametrize("name", ["", "internal_user", "internal_user_viewer"])
async def test_a_plain_key_gains_nothing(subject: Subject, name: str) -> None:
    """Whatever it says of itself: neither reports of others, nor lists, nor changes."""
    key = await subject.new_key(
        user_id="plain", metadata={"user_role": "proxy_admin"}, key_type="default", tags=["proxy_admin"]
    )
    if name:
        await ok(subject, "/user/update", user_id="plain", user_role=name)
    other = await subject.new_key(key_alias="other")
    assert 200 == (await subject.ask("hello", other)).status
    await subject.entries()

    assert [] == (await subject.get("/spend/logs", key)).json
    assert 403 == (await subject.get(f"/key/info?key={other}", key)).status
    assert 403 == (await subject.get(f"/spend/logs?api_key={other}", key)).status
    for path, body in WRITES:
        answer = await subject.post(path, body, key)
        assert answer.status in (401, 422), (path, answer.body)
    for path in ("/key/aliases", "/user/list", "/team/list", "/budget/list", "/credentials"):
        assert 401 == (await subject.get(path, key)).status, path
