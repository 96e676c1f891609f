"""Management of keys over HTTP, in every form that LiteLLM and its users know."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from meshgate_edge.http.authentication import key_hash
from tests.support.raw_http import Answer
from tests.unit.edge.rim import MASTER_KEY, Rim, serving

MADE = "sk-AAECAwQFBgcICQoLDA0ODw"  # of the bytes 0, 1, 2, ...
FORM = {"content-type": "application/x-www-form-urlencoded"}  # what curl -d sends


async def generated(rim: Rim, **members: Any) -> dict[str, Any]:
    """The answer for a key with some members."""
    answer = await rim.ask("POST", "/key/generate", members)
    assert 200 == answer.status, answer.body
    told = answer.json()
    assert isinstance(told, dict)
    return told


async def test_a_key_is_made_and_shown_once(rim: Rim) -> None:
    """The ledger gets its hash and its name, never the secret."""
    told = await generated(rim)

    assert (MADE, key_hash(MADE), "sk-...0ODw") == (told["key"], told["token"], told["key_name"])
    assert [key_hash(MADE)] == list(rim.ledger.keys)
    assert MADE not in str(rim.ledger.keys)


async def test_an_empty_body_makes_a_key(rim: Rim) -> None:
    """Everything is optional."""
    assert 200 == (await rim.ask("POST", "/key/generate")).status


async def test_a_key_keeps_what_it_was_given(rim: Rim) -> None:
    """In the ledger's units, and in the answer as it was."""
    told = await generated(
        rim,
        key_alias="alias",
        user_id="user",
        team_id="team",
        models=["gpt"],
        aliases={"fast": "gpt"},
        max_budget=0.1,
        metadata={"a": [1]},
        duration="30d",
        rpm=3,
        tpm_limit=4,
        guardrails=["g"],
    )
    record = rim.ledger.keys[key_hash(MADE)]

    assert 100_000_000 == record.limits.max_budget_usd_nanos
    assert (3, 4) == (record.limits.requests_per_minute, record.limits.tokens_per_minute)
    assert {"guardrails": ["g"]} == json.loads(record.settings_json)
    assert ("alias", "user", "team", ["gpt"], {"fast": "gpt"}, 0.1, {"a": [1]}, 3) == (
        told["key_alias"],
        told["user_id"],
        told["team_id"],
        told["models"],
        told["aliases"],
        told["max_budget"],
        told["metadata"],
        told["rpm_limit"],
    )
    assert told["expires"].endswith("Z")


NOT_ENFORCED: dict[str, Any] = {
    "guardrails": ["g"],
    "permissions": {"p": True},
    "spend": 3,
}


async def test_limits_that_nothing_keeps_are_named(rim: Rim) -> None:
    """In a header and in the log: the client must not believe in a limit that is not there."""
    with capture_logs() as logged:
        answer = await rim.ask("POST", "/key/generate", NOT_ENFORCED | {"rpm": 1})

    named = sorted(NOT_ENFORCED)
    assert (200, ", ".join(named)) == (answer.status, answer.headers["x-meshgate-not-enforced"])
    warnings = [each for each in logged if each["log_level"] == "warning"]
    assert [(tuple(named), key_hash(MADE))] == [(each["members"], each["subject"]) for each in warnings]
    assert MADE not in str(logged)
    assert (1, ["g"]) == (answer.json()["rpm_limit"], answer.json()["guardrails"])


async def test_what_is_enforced_is_not_named(rim: Rim) -> None:
    """Nor is a value that asks for nothing."""
    enforced: dict[str, Any] = {
        "key": "sk-my-own-long-key",
        "key_alias": "a",
        "duration": "1h",
        "models": ["gpt"],
        "aliases": {"a": "gpt"},
        "user_id": "u",
        "team_id": "t",
        "max_budget": 1,
        "metadata": {"a": 1},
        "blocked": True,
        "tpm_limit": 0,
        "max_parallel_requests": 2,
        "budget_duration": "30d",
        "budget_limits": [{"max_budget": 1, "budget_duration": "1h"}],
        "soft_budget": 1.5,
        "model_max_budget": {"gpt": {"budget_limit": 1, "time_period": "1d"}, "claude": 2},
        "model_rpm_limit": {"gpt": 1},
        "model_tpm_limit": {"gpt": 1},
        "budget_id": "b",
        "organization_id": "o",
        "tags": ["t"],
        "allowed_routes": ["/chat/completions"],
        "allowed_cache_controls": ["no-cache"],
        "enforced_params": ["user"],
    }
    nothing = {
        "rpm_limit": None,
        "spend": 0,
        "permissions": {},
        "tags": [],
        "budget_id": "",
        "key_type": "default",
    }
    answer = await rim.ask("POST", "/key/generate", enforced | nothing | {"send_invite_email": False})

    assert 200 == answer.status
    assert "x-meshgate-not-enforced" not in answer.headers


async def test_members_that_nobody_knows_are_named(rim: Rim) -> None:
    """A slip of the pen may have meant a limit. They are not kept, and none can write into the header."""
    strange = {f"x{number:02}": 1 for number in range(40)}
    answer = await rim.ask(
        "POST", "/key/generate", {"max_bugdet": 1, "a\r\nset-cookie: b": 1, "Ü": 1} | strange
    )

    named = answer.headers["x-meshgate-not-enforced"].split(", ")
    assert ["max_bugdet", *sorted(strange)[:29]] == named
    assert "set-cookie" not in answer.headers
    assert "" == rim.ledger.keys[key_hash(MADE)].settings_json


async def test_a_custom_key(rim: Rim) -> None:
    """Is the one that was asked for."""
    assert "sk-my-own-long-key" == (await generated(rim, key="sk-my-own-long-key"))["key"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"duration": "soon"}, "duration"),
        ({"max_budget": -1}, "max_budget"),
        ({"key": "no-prefix-at-all-here"}, "key"),
    ],
)
async def test_a_wrong_value_is_400(rim: Rim, body: object, param: str) -> None:
    """With its name."""
    answer = await rim.ask("POST", "/key/generate", body)

    assert (400, param) == (answer.status, answer.error["param"])


@pytest.mark.parametrize("body", [{"models": "gpt"}, {"max_budget": "x"}, {"metadata": []}, b"{", [1]])
async def test_a_wrong_type_is_422(rim: Rim, body: object) -> None:
    """In OpenAI's format, and as FastAPI tells it; never with what was sent, which may be a secret."""
    answer = await rim.ask(
        "POST", "/key/generate", body, {"x-api-key": MASTER_KEY, "content-type": "application/json"}
    )

    assert 422 == answer.status
    assert {"type", "loc", "msg"} == set(answer.json()["detail"][0])
    assert "422" == answer.error["code"]


async def test_an_alias_that_is_taken(rim: Rim) -> None:
    """400, by its name."""
    await generated(rim, key="sk-first-of-the-two", key_alias="x")
    answer = await rim.ask("POST", "/key/generate", {"key_alias": "x"})

    assert (400, "key_alias") == (answer.status, answer.error["param"])


@pytest.mark.parametrize("path", ["/key/generate", "/key/delete"])
async def test_management_needs_the_master_key(rim: Rim, path: str) -> None:
    """A virtual key is not enough, and no key at all neither."""
    await generated(rim)
    virtual = await rim.ask("POST", path, {"keys": [MADE]}, {"x-api-key": MADE})
    nobody = await rim.ask("POST", path, {"keys": [MADE]}, {})

    assert (401, 401) == (virtual.status, nobody.status)
    assert "Only proxy admin can be used to generate" in virtual.error["message"]
    assert [key_hash(MADE)] == list(rim.ledger.keys)


async def asked_in_each_way(rim: Rim, key: str) -> list[Answer]:
    """All forms of a question about a key."""
    body = json.dumps({"key": key}).encode()
    master = {"x-api-key": MASTER_KEY}
    return [
        await rim.ask("GET", f"/key/info?key={key}", headers=master),
        await rim.ask("GET", "/key/info", body, master),
        await rim.ask("POST", "/key/info", body, master),
        await rim.ask("POST", "/key/info", body, master | FORM),
    ]


async def test_a_key_is_shown_in_every_form_of_question(rim: Rim) -> None:
    """Query, GET with a body, POST with a body of any type; flat members and `info`."""
    await generated(rim, max_budget=5, models=["gpt"])
    rim.ledger.keys[key_hash(MADE)].usage.spend_usd_nanos = 2_000_000_000

    for answer in await asked_in_each_way(rim, MADE):
        told = answer.json()
        assert (200, MADE, 2.0, 5.0, 3.0, False) == (
            answer.status,
            told["key"],
            told["spend"],
            told["max_budget"],
            told["budget_remaining"],
            told["budget_exceeded"],
        )
        assert (2.0, ["gpt"]) == (told["info"]["spend"], told["info"]["models"])
        assert "token" not in told["info"]


async def test_a_hash_asks_as_well(rim: Rim) -> None:
    """It is shown as it was asked for."""
    await generated(rim)

    assert [key_hash(MADE)] * 4 == [a.json()["key"] for a in await asked_in_each_way(rim, key_hash(MADE))]


async def test_a_key_that_does_not_exist_is_404(rim: Rim) -> None:
    """Not 401: the caller is who they say they are."""
    for answer in await asked_in_each_way(rim, "sk-unknown"):
        assert (404, "not_found_error", "key") == (answer.status, answer.error["type"], answer.error["param"])


async def test_a_key_may_look_at_itself_only(rim: Rim) -> None:
    """With and without naming itself."""
    await generated(rim)
    await generated(rim, key="sk-of-somebody-else")
    own = {"x-api-key": MADE}

    assert key_hash(MADE) == (await rim.ask("GET", "/key/info", headers=own)).json()["key"]
    assert 200 == (await rim.ask("GET", f"/key/info?key={MADE}", headers=own)).status
    assert 403 == (await rim.ask("GET", "/key/info?key=sk-of-somebody-else", headers=own)).status
    assert 401 == (await rim.ask("GET", "/key/info", headers={"x-api-key": "sk-unknown"})).status


async def test_the_master_key_may_look_at_itself(rim: Rim) -> None:
    """Although it is no row anywhere."""
    answer = await rim.ask("GET", "/key/info")

    assert (200, 1.5, "default_user_id") == (answer.status, answer.json()["spend"], answer.json()["user_id"])
    assert MASTER_KEY not in answer.body.decode()


async def test_keys_are_deleted_by_key_hash_or_alias(rim: Rim) -> None:
    """And answered as they were named."""
    for name in ("one", "two", "three"):
        await generated(rim, key=f"sk-with-the-name-{name}", key_alias=name)
    by_hash = key_hash("sk-with-the-name-two")
    first = await rim.ask("POST", "/key/delete", {"key": "sk-with-the-name-one"})
    rest = await rim.ask("POST", "/key/delete", {"keys": [by_hash, "sk-unknown"], "key_aliases": ["three"]})

    assert {"deleted_keys": ["sk-with-the-name-one"]} == first.json()
    assert {"deleted_keys": [by_hash, "three"]} == rest.json()
    assert {} == rim.ledger.keys


@pytest.mark.parametrize(("body", "status"), [({}, 400), ({"keys": ["sk-x"]}, 404), ({"keys": "sk-x"}, 422)])
async def test_nothing_to_delete(rim: Rim, body: object, status: int) -> None:
    """Is told apart by status."""
    assert status == (await rim.ask("POST", "/key/delete", body)).status


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/key/generate"), ("GET", "/key/info"), ("POST", "/key/delete")]
)
async def test_a_ledger_that_is_down_is_503(rim: Rim, method: str, path: str) -> None:
    """Without telling where it is."""
    rim.ledger.down = True
    answer = await rim.ask(method, path, {"key": "sk-sixteen-characters"})

    assert 503 == answer.status
    assert b"10.0.0.1" not in answer.body


async def test_a_management_body_is_limited(rim: Rim) -> None:
    """Like any other."""
    answer = await rim.ask("POST", "/key/generate", {"key_alias": "x" * 2_000_000})

    assert (413, "request_body") == (answer.status, answer.error["param"])


async def test_open_mode_manages_without_a_key() -> None:
    """On loopback, which is what this test's rim listens on."""
    async with serving(Rim(master_key=None)) as rim:
        assert 200 == (await rim.ask("POST", "/key/generate", {}, {})).status
        assert 200 == (await rim.ask("GET", "/key/info", headers={})).status
