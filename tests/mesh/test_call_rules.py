"""What keys and teams say of calls: names of models, members that must be there, controls of the cache."""

import json
from typing import Any

import pytest

from tests.mesh.management import info, ok, reason
from tests.mesh.subject import Answer, Subject
from tests.support.eventually import eventually

NOT_ENFORCED = "x-meshgate-not-enforced"


async def made(subject: Subject, path: str, **members: Any) -> Any:
    """What a management call makes, when all of it is acted on."""
    answer = await subject.post(path, members)
    assert 200 == answer.status, answer.body
    assert NOT_ENFORCED not in answer.headers
    return answer.json


def param(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["error"]["param"]


async def released(subject: Subject, key: str) -> None:
    """Whatever was held for calls of the key is not held any more, and nothing was charged."""

    async def free() -> bool:
        told = await info(subject, key)
        return (0.0, 0.0) == (told["held"], told["spend"])

    await eventually(free, "the hold of a refused call is released")


async def test_a_teams_alias_counts_before_lists_limits_and_prices(subject: Subject) -> None:
    """The model behind it is the one that may be used, is limited, is called and is paid for."""
    team = await made(
        subject,
        "/team/new",
        team_id="crew",
        models=["claude"],
        model_aliases={"fast": "claude"},
        model_rpm_limit={"claude": 2},
    )
    assert ({"fast": "claude"},) * 2 == (team["model_aliases"], team["litellm_model_table"]["model_aliases"])
    key = await subject.new_key(team_id="crew")

    answer = await subject.ask("one", key, model="fast")
    assert 200 == answer.status, answer.body
    assert "claude" == answer.headers["x-litellm-model-group"]
    usage = answer.json["usage"]
    cost = float(answer.headers["x-litellm-response-cost"])
    expected = usage["prompt_tokens"] * 3e-6 + usage["completion_tokens"] * 15e-6
    assert cost == pytest.approx(expected, abs=1e-12)
    assert (403, "key_model_access_denied") == reason(await subject.ask("two", key, model="demo"))
    assert 200 == (await subject.ask("two", key, model="claude")).status
    assert (429, "throttling_error") == reason(await subject.ask("three", key, model="fast"))

    async def posted() -> bool:
        return 2 == len(await subject.entries())

    await eventually(posted, "both are on the books")
    rows = await subject.entries()
    assert {("fast", "claude"), ("claude", "claude")} == {(row["model"], row["model_group"]) for row in rows}
    stranger = await subject.new_key()
    assert (400, "model") == param(await subject.ask("one", stranger, model="fast"))
    assert (400, "model") == param(await subject.ask("one", model="fast"))


async def test_a_change_of_a_teams_aliases_counts_at_the_next_call(subject: Subject) -> None:
    """Also when nothing else of the team changes; and a new team has none of its namesake's."""
    await made(subject, "/team/new", team_id="crew", model_aliases={"fast": "demo"})
    key = await subject.new_key(team_id="crew")
    own = await subject.new_key(team_id="crew", aliases={"demo": "claude", "mine": "demo"})

    async def group(text: str, model: str, asker: str) -> str:
        answer = await subject.ask(text, asker, model=model)
        assert 200 == answer.status, answer.body
        return str(answer.headers["x-litellm-model-group"])

    assert "demo" == await group("one", "fast", key)
    assert "claude" == await group("two", "fast", own)  # the key's alias of what the team's stands for
    assert "demo" == await group("three", "mine", own)
    await made(subject, "/team/update", team_id="crew", model_aliases={"fast": "claude"})
    assert "claude" == await group("four", "fast", key)
    await made(subject, "/team/update", team_id="crew", team_alias="Crew")
    assert "claude" == await group("five", "fast", key)
    await made(subject, "/team/update", team_id="crew", model_aliases=None)
    assert (400, "model") == param(await subject.ask("six", key, model="fast"))

    await made(subject, "/team/update", team_id="crew", model_aliases={"fast": "demo"})
    assert "demo" == await group("seven", "fast", key)
    await ok(subject, "/team/delete", team_ids=["crew"])
    await made(subject, "/team/new", team_id="crew")
    again = await subject.new_key(team_id="crew")
    assert (400, "model") == param(await subject.ask("eight", again, model="fast"))


async def test_a_call_has_the_members_that_its_key_wants(subject: Subject) -> None:
    """Else it is a 400 that names the first that is missing; nobody is called, nothing is held or charged."""
    body = {"enforced_params": ["user", "metadata.scenario"]}
    key = (await made(subject, "/key/generate", **body))["key"]
    named = {"user": "u", "metadata": {"scenario": "s"}}

    assert (400, "user") == param(await subject.ask("one", key))
    assert (400, "user") == param(await subject.ask("one", key, stream=True))
    assert (400, "user") == param(await subject.ask("one", key, metadata=named["metadata"], user=None))
    for metadata in ({}, {"other": 1}, {"scenario": None}):
        answer = await subject.ask("one", key, user="u", metadata=metadata)
        assert (400, "metadata.scenario") == param(answer), metadata
    for path, rest in (("completions", {"prompt": "one"}), ("embeddings", {"input": "one"})):
        answer = await subject.post(f"/v1/{path}", {"model": "demo", **rest}, key)
        assert (400, "user") == param(answer), path
    assert [] == await subject.served()
    await released(subject, key)

    assert 200 == (await subject.ask("one", key, **named)).status
    assert 200 == (await subject.ask("one")).status  # the master key has no rules
    told = await made(subject, "/key/update", key=key, enforced_params=[])
    assert [] == told["enforced_params"]
    assert 200 == (await subject.ask("two", key)).status


async def test_members_may_be_wanted_by_metadata_and_by_the_team(subject: Subject) -> None:
    """As LiteLLM keeps them; a change of the team counts at the next call."""
    key = await subject.new_key(metadata={"enforced_params": ["user"]})
    assert (400, "user") == param(await subject.ask("one", key))

    await made(subject, "/team/new", team_id="crew", enforced_params=["seed"])
    key = await subject.new_key(team_id="crew", enforced_params=["user"])
    assert (400, "user") == param(await subject.ask("one", key))
    assert (400, "seed") == param(await subject.ask("one", key, user="u"))
    assert 200 == (await subject.ask("one", key, user="u", seed=7)).status
    await made(subject, "/team/update", team_id="crew", enforced_params=None)
    assert 200 == (await subject.ask("two", key, user="u")).status


async def test_a_key_uses_the_controls_of_the_cache_that_it_may(subject: Subject) -> None:
    """Any other is a 403, however it is said; without a list all are allowed."""
    key = (await made(subject, "/key/generate", allowed_cache_controls=["ttl", "s-maxage"]))["key"]

    for member, control in (
        ({"cache": {"no-cache": True}}, "no-cache"),
        ({"cache": {"no-store": True, "ttl": 60}}, "no-store"),
        ({"cache": {"namespace": "other"}}, "namespace"),
        ({"cache": {"use-cache": True}}, "use-cache"),
        ({"metadata": {"redis_namespace": "other"}}, "namespace"),
        ({"caching": False}, "no-cache"),
    ):
        answer = await subject.ask("one", key, **member)
        assert (403, "cache") == param(answer), member
        assert f"Not allowed to set {control} as" in answer.json["error"]["message"]
    headers = {**subject.headers(key), "cache-control": "no-store"}
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "one"}]})
    url = f"{subject.mesh.url}/v1/chat/completions"
    async with subject.session.post(url, data=body, headers=headers) as refused:
        assert 403 == refused.status
    assert [] == await subject.served()
    await released(subject, key)

    for allowed in ({}, {"cache": {"ttl": 60, "s-maxage": 60}}, {"cache": {"ttl": 0}}):
        assert 200 == (await subject.ask("one", key, **allowed)).status, allowed
    await made(subject, "/key/update", key=key, allowed_cache_controls=None)
    assert 200 == (await subject.ask("one", key, cache={"no-cache": True})).status
