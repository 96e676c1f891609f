"""Spend over HTTP: what was called is what is reported, to the nano-USD, and to whom it belongs."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.mesh.subject import Answer, Subject
from tests.support.eventually import eventually


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def around() -> dict[str, str]:
    """Dates that today is between, whatever happens at midnight."""
    day = timedelta(days=1)
    now = datetime.now(UTC)
    return {"start_date": f"{now - day:%Y-%m-%d}", "end_date": f"{now + day:%Y-%m-%d}"}


async def report(subject: Subject, path: str, key: str | None = None, **query: Any) -> Any:
    answer = await get(subject, path, key, **query)
    assert 200 == answer.status, answer.body
    return answer.json


async def get(subject: Subject, path: str, key: str | None = None, **query: Any) -> Answer:
    return await subject.get(f"{path}?{urlencode(query)}" if query else path, key)


async def spend(subject: Subject) -> tuple[str, str, float, float]:
    """Two keys that ask; their secrets, and what each cost."""
    eve = await subject.new_key(user_id="eve", key_alias="eve-bot")
    bob = await subject.new_key(user_id="bob", team_id="team-b")
    costs = []
    for key, text, members in (
        (eve, "one", {"metadata": {"tags": ["alpha", "beta"]}, "user": "customer-1"}),
        (bob, "two and more", {"metadata": {"tags": ["alpha"]}}),
    ):
        answer = await subject.ask(text, key, **members)
        assert 200 == answer.status, answer.body
        costs.append(float(answer.headers["x-litellm-response-cost"]))
    await subject.ask("one", eve, metadata={"tags": ["alpha", "beta"]}, user="customer-1")

    async def posted() -> bool:
        return 3 == len(await subject.entries())

    await eventually(posted, "the hit is on the books as well")
    return eve, bob, costs[0], costs[1]


async def test_sums_and_rows_are_what_the_calls_cost(subject: Subject) -> None:
    """By key, user, team, model, provider, tag, customer and day."""
    _, _, eve_cost, bob_cost = await spend(subject)
    await subject.entries()
    total = eve_cost + bob_cost

    assert total == pytest.approx((await report(subject, "/global/spend"))["spend"], abs=1e-12)
    [day] = await report(subject, "/global/spend/logs")
    assert today() == day["date"]
    assert total == pytest.approx(day["spend"], abs=1e-12)
    keys = await report(subject, "/global/spend/keys", limit=5)
    by_alias = {row["key_alias"]: row["total_spend"] for row in keys}
    assert {"eve-bot": eve_cost, None: bob_cost} == by_alias
    [model] = await report(subject, "/global/spend/models")
    assert ("demo", pytest.approx(total, abs=1e-12)) == (model["model"], model["total_spend"])
    providers = await report(subject, "/global/spend/provider")
    assert ["openai", ""] == [row["provider"] for row in providers]  # the cache answered without one
    tags = (await report(subject, "/global/spend/tags", **around()))["spend_per_tag"]
    counts = {row["name"]: row["log_count"] for row in tags}
    assert {"alpha": 3, "beta": 2} == counts
    assert ["alpha", "beta"] == (await report(subject, "/global/spend/all_tag_names"))["tag_names"]
    assert {"alpha", "beta"} == {
        row["individual_request_tag"] for row in await report(subject, "/spend/tags")
    }
    teams = await report(subject, "/global/spend/teams")
    assert {"Unassigned", "team-b"} == set(teams["teams"])
    assert bob_cost == teams["daily_spend"][0]["team-b"]
    users = {row["user_id"]: row["spend"] for row in await report(subject, "/spend/users")}
    assert {"eve": eve_cost, "bob": bob_cost} == {name: users[name] for name in ("eve", "bob")}
    customers = await subject.post("/global/spend/end_users", {})
    assert [("customer-1", eve_cost)] == [(row["end_user"], row["total_spend"]) for row in customers.json]


async def test_rows_of_calls(subject: Subject) -> None:
    """LiteLLM's members; by key, by user, by the answer's id; a cache hit costs nothing."""
    eve, _, eve_cost, _ = await spend(subject)
    rows = await report(subject, "/spend/logs", api_key=eve)
    assert 2 == len(rows)
    # In the order of their postings: that of the first may follow its answer after the second's.
    hit, called = sorted(rows, key=lambda row: row["cache_hit"] == "True", reverse=True)
    assert ("True", "False") == (hit["cache_hit"], called["cache_hit"])
    assert (0, eve_cost) == (hit["spend"], called["spend"])
    assert f"{called['request_id']}_cache_hit" == hit["request_id"].rpartition("t")[0] + "t"
    assert [hit] == await report(subject, "/spend/logs", request_id=hit["request_id"])
    assert rows == await report(subject, "/spend/logs", request_id=called["request_id"])
    assert ("openai/demo", "demo", "openai") == (
        called["model"],
        called["model_group"],
        called["custom_llm_provider"],
    )
    assert ("eve", "success", ["alpha", "beta"], "customer-1") == (
        called["user"],
        called["status"],
        called["request_tags"],
        called["end_user"],
    )
    breakdown = called["metadata"]["cost_breakdown"]
    assert eve_cost == pytest.approx(breakdown["input_cost"] + breakdown["output_cost"], abs=1e-12)
    [same] = await report(subject, "/spend/logs", request_id=called["metadata"]["meshgate"]["request_id"])
    assert called == same
    assert 1 == len(await report(subject, "/spend/logs", user_id="bob"))

    page = await report(subject, "/spend/logs/ui", page=2, page_size=2, **around())
    assert (1, 3, 2) == (len(page["data"]), page["total"], page["total_pages"])
    filtered = await report(subject, "/spend/logs/v2", min_spend=eve_cost, user_id="eve", **around())
    assert [called["request_id"]] == [row["request_id"] for row in filtered["data"]]
    assert 0 == (await report(subject, "/spend/logs/v2", status_filter="failure", **around()))["total"]

    [day] = await report(subject, "/spend/logs", **around())
    assert {"eve", "bob"} == set(day["users"])
    assert day["spend"] == pytest.approx(sum(day["models"].values()), abs=1e-12)


async def test_a_key_sees_its_own(subject: Subject) -> None:
    """Whatever it asks; another's key is refused, and so is management."""
    eve, bob, eve_cost, _ = await spend(subject)
    assert eve_cost == (await report(subject, "/global/spend", eve))["spend"]
    assert [eve_cost] == [row["spend"] for row in await report(subject, "/spend/keys", eve)]
    assert [{"user_id": "eve", "spend": eve_cost}] == await report(subject, "/spend/users", eve)
    assert {"eve"} == {row["user"] for row in await report(subject, "/spend/logs", eve)}
    for path in ("/spend/logs", "/global/spend/logs"):
        refused = await get(subject, path, eve, api_key=bob)
        assert 403 == refused.status
    activity = await report(subject, "/user/daily/activity", eve, **around())
    assert {"eve"} == set(activity["results"][0]["breakdown"]["entities"])
    assert 401 == (await subject.post("/global/spend/reset", {}, eve)).status
    assert 401 == (await get(subject, "/spend/keys", "sk-nobody")).status


async def test_activity(subject: Subject) -> None:
    """Requests and tokens by day, and everything about a day."""
    await spend(subject)
    found = await report(subject, "/global/activity", **around())
    assert 3 == found["sum_api_requests"]
    assert [datetime.now(UTC).strftime("%b %d")] == [day["date"] for day in found["daily_data"]]
    [model] = await report(subject, "/global/activity/model")
    assert ("demo", 3) == (model["model"], model["sum_api_requests"])
    hits = await report(subject, "/global/activity/cache_hits")
    assert 1 == sum(row["cache_hit_true_rows"] for row in hits)
    assert hits == await report(subject, "/global/activity/cache_hits", **around())

    daily = await report(subject, "/user/daily/activity", page=1, page_size=10, **around())
    [day] = daily["results"]
    assert (today(), 3) == (day["date"], day["metrics"]["successful_requests"])
    assert {"eve", "bob"} == set(day["breakdown"]["entities"])
    assert {"demo"} == set(day["breakdown"]["models"]) == set(day["breakdown"]["model_groups"])
    assert (1, 1, False) == tuple(daily["metadata"][name] for name in ("page", "total_pages", "has_more"))
    assert daily["metadata"]["total_spend"] == day["metrics"]["spend"]
    only = await report(subject, "/team/daily/activity", team_ids="team-b,team-c", **around())
    assert {"team-b"} == set(only["results"][0]["breakdown"]["entities"])
    tags = await report(subject, "/tag/daily/activity", tags="beta", **around())
    assert 2 == tags["results"][0]["metrics"]["api_requests"]

    stats = await report(subject, "/usage/stats", timeframe="24h")
    assert (3, 0, pytest.approx(1 / 3)) == (
        stats["requests_total"],
        stats["errors_total"],
        stats["cache_hit_ratio"],
    )
    assert ["demo"] == [model["model"] for model in stats["top_models"]]


async def test_tokens_that_the_cache_gave_and_those_that_were_generated(subject: Subject) -> None:
    """Each token of an answer is one or the other, whatever a provider's own cache had of the prompt."""
    eve, _, _, _ = await spend(subject)
    rows = await report(subject, "/spend/logs", limit=100)
    tokens = {"True": 0, "False": 0}
    for row in rows:
        tokens[row["cache_hit"]] += row["completion_tokens"]
    assert tokens["True"] > 0

    told = await report(subject, "/global/activity/cache_hits")
    names = ("cached_completion_tokens", "generated_completion_tokens")
    assert (tokens["True"], tokens["False"]) == tuple(sum(row[name] for row in told) for name in names)
    assert {0, tokens["True"]} == {row["cached_completion_tokens"] for row in told}
    own = await report(subject, "/global/activity/cache_hits", eve)
    assert [tokens["True"]] == [row["cached_completion_tokens"] for row in own]


async def test_teams_and_keys_are_told_by_their_names(subject: Subject) -> None:
    """As they are now: in rows of calls, by day and in all; teams of one name are one."""
    names = {"red": "The Reds", "blue": "", "rose": "The Reds"}
    for team, alias in names.items():
        made = await subject.post("/team/new", {"team_id": team, "team_alias": alias or None})
        assert 200 == made.status, made.body
        key = await subject.new_key(team_id=team, key_alias=f"{team}-bot")
        assert 200 == (await subject.ask(team, key)).status

    async def posted() -> bool:
        return 3 == len(await subject.entries())

    await eventually(posted, "all are on the books")
    rows = await report(subject, "/spend/logs")
    told = {row["team_id"]: row["metadata"] for row in rows}
    assert {team: alias or None for team, alias in names.items()} == {
        team: metadata["user_api_key_team_alias"] for team, metadata in told.items()
    }
    assert {f"{team}-bot" for team in names} == {each["user_api_key_alias"] for each in told.values()}

    costs = {row["team_id"]: row["spend"] for row in rows}
    both = pytest.approx(costs["red"] + costs["rose"], abs=1e-12)
    teams = await report(subject, "/global/spend/teams")
    assert ["The Reds", "blue"] == sorted(teams["teams"])
    [day] = teams["daily_spend"]
    assert {"date": today(), "The Reds": both, "blue": costs["blue"]} == day
    totals = {row["team_id"]: row["total_spend"] for row in teams["total_spend_per_team"]}
    assert {"The Reds": both, "blue": costs["blue"]} == totals

    [day] = (await report(subject, "/team/daily/activity", **around()))["results"]
    parts = day["breakdown"]["entities"]
    aliases = {team: part["metadata"]["team_alias"] for team, part in parts.items()}
    assert {team: alias or None for team, alias in names.items()} == aliases
    keys = [part["metadata"] for part in day["breakdown"]["api_keys"].values()]
    assert {(f"{team}-bot", team) for team in names} == {(key["key_alias"], key["team_id"]) for key in keys}


async def test_a_report_by_groups_and_filters(subject: Subject) -> None:
    """In the shapes that LiteLLM documents; each filter leaves out what others spent."""
    eve, bob, eve_cost, bob_cost = await spend(subject)
    hashes = {
        name: (await report(subject, "/key/info", key))["key"] for name, key in (("eve", eve), ("bob", bob))
    }

    async def days(**query: str) -> list[Any]:
        told: list[Any] = await report(subject, "/global/spend/report", **around(), **query)
        return told

    [day] = await days()
    assert f"{today()}T00:00:00+00:00" == day["group_by_day"]
    teams = {each["team_name"]: each for each in day["teams"]}
    assert {"Unassigned Team": eve_cost, "team-b": bob_cost} == {
        name: each["total_spend"] for name, each in teams.items()
    }
    [part] = teams["team-b"]["metadata"]
    assert ("demo", bob_cost, hashes["bob"]) == (part["model"], part["spend"], part["api_key"])
    [day] = await days(group_by="customer")
    assert [("customer-1", eve_cost)] == [
        (each["customer"], each["total_spend"]) for each in day["customers"]
    ]
    [day] = await days(group_by="tag")
    both = pytest.approx(eve_cost + bob_cost, abs=1e-12)
    assert {"alpha": both, "beta": eve_cost} == {each["tag"]: each["total_spend"] for each in day["tags"]}

    keys = {each["api_key"]: each for each in await days(group_by="api_key")}
    assert {hashes["eve"]: eve_cost, hashes["bob"]: bob_cost} == {
        key: each["total_cost"] for key, each in keys.items()
    }
    for query in ({"api_key": bob}, {"api_key": hashes["bob"]}, {"internal_user_id": "bob"}):
        assert [keys[hashes["bob"]]] == await days(**query), query
    [detail] = keys[hashes["bob"]]["model_details"]
    assert ("demo", bob_cost) == (detail["model"], detail["total_cost"])
    assert keys[hashes["bob"]]["total_output_tokens"] == detail["total_output_tokens"] > 0
    for query in ({"team_id": "team-b"}, {"api_key": bob, "group_by": "team"}):
        [day] = await days(**query)
        assert ["team-b"] == [each["team_name"] for each in day["teams"]], query
    [day] = await days(customer_id="customer-1")
    assert ["Unassigned Team"] == [each["team_name"] for each in day["teams"]]
    assert [] == await days(team_id="nobody's")
    own = await report(subject, "/global/spend/report", eve, **around())
    assert [eve_cost] == [each["total_spend"] for each in own[0]["teams"]]


async def test_what_a_call_would_cost(subject: Subject) -> None:
    """A prompt, or an answer by its usage; a model without a price is named."""
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = await subject.post("/spend/calculate", {"model": "demo", "messages": messages})
    assert 200 == prompt.status
    assert 0 < prompt.json["cost"] < 0.0001
    usage = {"prompt_tokens": 1_000, "completion_tokens": 500}
    answer = {"model": "demo", "usage": usage}
    whole = await subject.post("/spend/calculate", {"completion_response": answer})
    assert {"cost": 0.002} == whole.json
    public = await subject.post("/spend/calculate", {"model": "gpt-4o", "messages": messages})
    assert (200, True) == (public.status, public.json["cost"] > 0)  # nobody serves it here
    unknown = await subject.post("/spend/calculate", {"model": "no-such-model", "messages": messages})
    assert (400, "model") == (unknown.status, unknown.json["error"]["param"])


async def test_budgets_begin_anew_when_told(subject: Subject) -> None:
    """The master key may; what was spent is still reported."""
    await spend(subject)
    before = await report(subject, "/global/spend")
    done = await subject.post("/global/spend/reset", {})
    assert (200, "success") == (done.status, done.json["status"])
    assert before == await report(subject, "/global/spend")


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/spend/logs", {"start_date": "yesterday"}, "start_date"),
        ("/spend/logs", {"end_date": "2026-13-01"}, "end_date"),
        ("/spend/logs/ui", {}, "start_date"),
        ("/spend/logs/ui", {"start_date": "2026-01-01", "end_date": "2026-01-02", "page": 999}, "page"),
        ("/global/spend/tags", {}, "start_date"),
        ("/global/spend/tags", {"start_date": "2026-01-01"}, "end_date"),
        ("/global/spend/logs", {"start_date": "2020-01-01", "end_date": "2026-01-01"}, "start_date"),
        ("/global/spend/report", {"group_by": "colour"}, "group_by"),
        ("/global/activity", {"start_date": "2026-02-02", "end_date": "2026-02-01"}, "start_date"),
        ("/user/daily/activity", {}, "start_date"),
        ("/usage/stats", {"timeframe": "lately"}, "timeframe"),
    ],
)
async def test_what_can_not_be_asked(subject: Subject, path: str, query: dict[str, Any], field: str) -> None:
    """400, and the parameter is named."""
    answer = await get(subject, path, **query)
    assert (400, field) == (answer.status, answer.json["error"]["param"])
