"""Users, teams, members, customers, organisations, tags and budgets by HTTP, as LiteLLM's clients know them;
what is managed counts at the very next call."""

from typing import Any

from tests.mesh.management import info, ok, shown
from tests.mesh.subject import Subject


async def test_a_user_has_a_budget_for_all_keys(subject: Subject) -> None:
    """And a first key, unless told otherwise."""
    made = await ok(
        subject,
        "/user/new",
        user_id="ada",
        user_email="ada@x.org",
        max_budget=1,
        key_alias="first",
        rpm_limit=50,
    )
    assert ("ada", "ada@x.org", 1.0, []) == (
        made["user_id"],
        made["user_email"],
        made["max_budget"],
        made["teams"],
    )
    first, second = made["key"], await subject.new_key(user_id="ada")
    assert 200 == (await subject.ask("hello", first)).status

    await ok(subject, "/user/update", user_id="ada", max_budget=0.000001)
    assert [429, 429] == [(await subject.ask("hello", key)).status for key in (first, second)]
    told = await shown(subject, "/user/info?user_id=ada")
    assert (0.000001, 50, 2) == (
        told["user_info"]["max_budget"],
        told["user_info"]["rpm_limit"],
        len(told["keys"]),
    )
    assert "ada" == (await subject.get("/user/info", first)).json["user_id"]
    assert 403 == (await subject.get("/user/info?user_id=bob", first)).status
    assert 404 == (await subject.get("/user/info?user_id=bob")).status

    await ok(subject, "/user/update", user_id="ada", blocked=True, max_budget=None)
    assert 200 != (await subject.ask("hello", second)).status
    assert 1 == await ok(subject, "/user/delete", user_ids=["ada", "nobody"])
    assert 401 == (await subject.ask("hello", second)).status
    lone = await ok(subject, "/user/new", user_id="lone", auto_create_key=False)
    assert lone["key"] is None
    page = await shown(subject, "/user/list?page_size=1")
    assert (["lone"], 1, 1) == ([row["user_id"] for row in page["users"]], page["total"], page["total_pages"])
    assert 400 == (await subject.post("/user/new", {"user_id": "lone"})).status


async def test_a_proxy_admin_manages(subject: Subject) -> None:
    """With the user's own key; others do not."""
    admin = (await ok(subject, "/user/new", user_id="boss", user_role="proxy_admin"))["key"]
    other = (await ok(subject, "/user/new", user_id="clerk", user_role="internal_user"))["key"]

    made = await subject.post("/key/generate", {}, admin)
    assert (200, "boss") == (made.status, made.json["created_by"])
    assert 401 == (await subject.post("/key/generate", {}, other)).status
    assert 401 == (await subject.post("/team/new", {}, other)).status
    assert 200 == (await subject.get(f"/key/info?key={other}", admin)).status
    assert 403 == (await subject.get(f"/key/info?key={admin}", other)).status
    assert 400 == (await subject.post("/user/new", {"user_role": "king"})).status


async def test_a_team_with_a_member_budget(subject: Subject) -> None:
    """The member's budget is for that team alone; the team's for all."""
    team = await ok(
        subject,
        "/team/new",
        team_alias="crew",
        max_budget=1,
        members_with_roles=[{"role": "admin", "user_id": "ann"}],
        team_member_budget=0.5,
    )
    team_id = team["team_id"]
    assert [("ann", "admin")] == [(each["user_id"], each["role"]) for each in team["members_with_roles"]]
    added = await ok(
        subject,
        "/team/member_add",
        team_id=team_id,
        member={"role": "user", "user_id": "bob"},
        max_budget_in_team=0.000001,
    )
    assert ["bob"] == [each["user_id"] for each in added["updated_users"]]
    (membership,) = added["updated_team_memberships"]
    assert 0.000001 == membership["litellm_budget_table"]["max_budget"]
    ann, bob = [await subject.new_key(team_id=team_id, user_id=user_id) for user_id in ("ann", "bob")]

    assert [200, 429] == [(await subject.ask("hello", key)).status for key in (ann, bob)]
    changed = await ok(
        subject, "/team/member_update", team_id=team_id, user_id="bob", max_budget_in_team=None
    )
    assert changed["max_budget_in_team"] is None
    assert 200 == (await subject.ask("hello", bob)).status
    await ok(subject, "/team/update", team_id=team_id, team_member_budget=0)
    assert [429, 429] == [(await subject.ask("hello", key)).status for key in (ann, bob)]
    await ok(subject, "/team/update", team_id=team_id, team_member_budget=None, max_budget=0)
    assert 429 == (await subject.ask("hello", ann)).status
    await ok(subject, "/team/update", team_id=team_id, max_budget=1)

    told = await shown(subject, f"/team/info?team_id={team_id}")
    assert {"ann", "bob"} == {each["user_id"] for each in told["team_memberships"]}
    assert told["team_info"]["spend"] > 0
    assert 2 == len(told["keys"])
    assert 200 == (await subject.get(f"/team/info?team_id={team_id}", ann)).status
    assert 403 == (await subject.get("/team/info?team_id=other", ann)).status
    left = await ok(subject, "/team/member_delete", team_id=team_id, user_id="bob")
    assert ["ann"] == [each["user_id"] for each in left["members_with_roles"]]

    assert (await ok(subject, "/team/block", team_id=team_id))["blocked"]
    assert 200 != (await subject.ask("hello", ann)).status
    await ok(subject, "/team/unblock", team_id=team_id)
    assert 200 == (await subject.ask("hello", ann)).status
    assert [team_id] == [row["team_id"] for row in await shown(subject, "/team/list")]
    paged = await shown(subject, "/v2/team/list?team_alias=CRE")
    assert (1, 1) == (paged["total"], paged["total_pages"])
    assert {"deleted_teams": [team_id]} == await ok(subject, "/team/delete", team_ids=[team_id])
    assert 401 == (await subject.ask("hello", ann)).status
    await subject.entries()


async def test_a_member_by_e_mail(subject: Subject) -> None:
    """Is the user who has it, else a new one."""
    await ok(subject, "/team/new", team_id="t")
    await ok(subject, "/user/new", user_id="ann", user_email="ann@x.org", auto_create_key=False)
    members = [{"user_email": "Ann@x.org"}, {"user_email": "new@x.org"}]
    added = await ok(subject, "/team/member_add", team_id="t", member=members)

    users = {each["user_email"]: each["user_id"] for each in added["updated_users"]}
    assert ({"ann@x.org", "new@x.org"}, "ann") == (set(users), users["ann@x.org"])
    await ok(subject, "/team/member_delete", team_id="t", user_email="new@x.org")
    assert 404 == (await subject.post("/team/member_delete", {"team_id": "t", "user_id": "nobody"})).status
    assert 404 == (await subject.post("/team/member_add", {"team_id": "x", "member": members})).status


async def test_a_user_is_changed_by_e_mail(subject: Subject) -> None:
    """Whatever the case of the address; nobody and several are refused, and nothing changes."""
    for user, email in (("ann", "ann@x.org"), ("anne", "joann@x.org"), ("bob", "b@x.org"), ("bo", "B@x.org")):
        await ok(subject, "/user/new", user_id=user, user_email=email, auto_create_key=False, max_budget=1)

    told = await ok(subject, "/user/update", user_email="Ann@x.org", max_budget=7, user_alias="Ann")
    assert ("ann", "ann", 7.0, "Ann") == (
        told["user_id"],
        *(told["data"][name] for name in ("user_id", "max_budget", "user_alias")),
    )
    for email, status in (("nobody@x.org", 404), ("b@x.org", 400), ("", 400), (None, 400)):
        answer = await subject.post("/user/update", {"user_email": email, "max_budget": 8})
        assert status == answer.status, email
    assert 400 == (await subject.post("/user/update", {"max_budget": 8})).status
    users = (await shown(subject, "/user/list"))["users"]
    budgets = {user["user_id"]: user["max_budget"] for user in users}
    assert {"ann": 7.0, "anne": 1.0, "bob": 1.0, "bo": 1.0} == budgets
    moved = await ok(subject, "/user/update", user_id="ann", user_email="ann@y.org")
    assert ("ann@y.org", 7.0) == (moved["data"]["user_email"], moved["data"]["max_budget"])


async def test_a_customer_is_blocked(subject: Subject) -> None:
    """Also one whom nobody made; under both names of the endpoints."""
    assert 200 == (await subject.ask("hello", user="c1")).status

    blocked = await ok(subject, "/customer/block", user_ids=["c1"])
    assert [("c1", True)] == [(row["user_id"], row["blocked"]) for row in blocked["blocked_users"]]
    assert 200 != (await subject.ask("hello", user="c1")).status
    assert 200 == (await subject.ask("hello", user="c2")).status
    await ok(subject, "/end_user/unblock", user_ids=["c1"])
    assert 200 == (await subject.ask("hello again", user="c1")).status
    row = await shown(subject, "/customer/info?end_user_id=c1")
    assert (False, True) == (row["blocked"], row["spend"] > 0)

    await ok(subject, "/customer/update", user_id="c1", max_budget=0, alias="C")
    assert 429 == (await subject.ask("hello", user="c1")).status
    row = (await shown(subject, "/end_user/list"))[0]
    assert ("c1", "C", 0.0) == (row["user_id"], row["alias"], row["litellm_budget_table"]["max_budget"])
    gone = await ok(subject, "/customer/delete", user_ids=["c1"])
    assert 1 == gone["deleted_customers"]
    assert 200 == (await subject.ask("hello", user="c1")).status
    assert 404 == (await subject.get("/customer/info?end_user_id=c1")).status


async def test_a_budget_is_shared(subject: Subject) -> None:
    """Its change counts at the next call of whoever uses it."""
    made = await ok(subject, "/budget/new", budget_id="small", max_budget=1, budget_duration="1d")
    assert (1.0, "1d") == (made["max_budget"], made["budget_duration"])
    key = await subject.new_key(budget_id="small")
    await ok(subject, "/customer/new", user_id="c", budget_id="small")
    assert 200 == (await subject.ask("hello", key)).status
    told = await info(subject, key)
    assert ("small", 1.0) == (told["budget_id"], told["litellm_budget_table"]["max_budget"])
    assert told["budget_reset_at"] and told["budget_remaining"] < 1

    await ok(subject, "/budget/update", budget_id="small", max_budget=0)
    assert [429, 429] == [
        answer.status for answer in (await subject.ask("hello", key), await subject.ask("hello", user="c"))
    ]
    assert [0.0] == [row["max_budget"] for row in await ok(subject, "/budget/info", budgets=["small", "x"])]
    settings = {
        row["field_name"]: row["field_value"]
        for row in await shown(subject, "/budget/settings?budget_id=small")
    }
    assert (0.0, "1d", None) == (settings["max_budget"], settings["budget_duration"], settings["rpm_limit"])
    assert 400 == (await subject.post("/budget/new", {"budget_id": "small"})).status
    assert (400, "budget_id") == (
        (bad := await subject.post("/key/generate", {"budget_id": "none"})).status,
        bad.json["error"]["param"],
    )
    await ok(subject, "/budget/delete", id="small")
    assert 200 == (await subject.ask("hello", key)).status
    assert [] == await shown(subject, "/budget/list")


async def test_organizations_and_tags(subject: Subject) -> None:
    """Have budgets, too."""
    made = await ok(subject, "/organization/new", organization_alias="acme", max_budget=1)
    organization_id = made["organization_id"]
    await ok(subject, "/team/new", team_id="t", organization_id=organization_id)
    key = await subject.new_key(team_id="t", tags=["red"])
    assert 200 == (await subject.ask("hello", key)).status
    row = await shown(subject, f"/organization/info?organization_id={organization_id}")
    assert (["t"], True) == (row["teams"], row["spend"] > 0)

    await ok(subject, "/organization/update", organization_id=organization_id, max_budget=0)
    assert 429 == (await subject.ask("hello", key)).status
    (gone,) = await ok(subject, "/organization/delete", organization_ids=[organization_id])
    assert "acme" == gone["organization_alias"]
    assert 200 == (await subject.ask("hello", key)).status

    made = await ok(subject, "/tag/new", name="red", description="calls of red", max_budget=0)
    assert ("red", 0.0) == (made["tag"]["name"], made["tag"]["max_budget"])
    assert 429 == (await subject.ask("hello", key)).status
    assert {"red"} == set(await ok(subject, "/tag/info", names=["red", "blue"]))
    await ok(subject, "/tag/update", name="red", max_budget=None)
    assert 200 == (await subject.ask("hello", key)).status
    assert ["red"] == [row["name"] for row in await shown(subject, "/tag/list")]
    await ok(subject, "/tag/delete", name="red")


async def test_what_is_left_of_the_budget(subject: Subject) -> None:
    """Of the caller's key; of the gateway, that has none, what was spent."""
    key = await subject.new_key(max_budget=1)
    assert 200 == (await subject.ask("hello", key)).status
    spent = (await info(subject, key))["spend"]

    told = (await subject.get("/budget", key)).json
    assert (1.0, spent, spent, False) == (
        told["budget_limit"],
        told["spend_today"],
        told["spend_this_month"],
        told["alerts_enabled"],
    )
    assert abs(1.0 - spent - told["remaining_budget"]) < 1e-12
    gateway = await shown(subject, "/budget")
    assert (None, None, spent) == (
        gateway["budget_limit"],
        gateway["remaining_budget"],
        gateway["spend_today"],
    )


NONSENSE: tuple[tuple[Any, int, str], ...] = (
    ({"max_budget": -1}, 400, "max_budget"),
    ({"max_budget": 10**10}, 400, "max_budget"),
    (b'{"max_budget": NaN}', 422, "max_budget"),
    ({"max_budget": "much"}, 422, "max_budget"),
    ({"budget_duration": "soon"}, 400, "budget_duration"),
    ({"budget_duration": "1d; drop table"}, 400, "budget_duration"),
    ({"rpm_limit": -1}, 400, "rpm_limit"),
    ({"rpm_limit": 10**30}, 400, "rpm_limit"),
    ({"tpm_limit": "x"}, 422, "tpm_limit"),
    ({"model_max_budget": {"demo": {"budget_limit": -1}}}, 400, "model_max_budget.demo"),
    ({"budget_limits": [{"max_budget": 1, "budget_duration": "1d"}] * 2}, 400, "budget_limits"),
    ({"model_max_budget": {"demo": {"budget_limit": "x"}}}, 422, "model_max_budget.demo.budget_limit"),
    ({"model_max_budget": {"demo": "much"}}, 422, "model_max_budget.demo"),
    (b"{", 422, "request_body"),
    (b"[]", 422, "request_body"),
)


async def test_nonsense_is_refused_by_name(subject: Subject) -> None:
    """In OpenAI's format, wherever limits may be given."""
    for path in ("/key/generate", "/user/new", "/team/new", "/budget/new", "/organization/new"):
        for body, status, param in NONSENSE:
            answer = await subject.post(path, body)

            error = answer.json["error"]
            assert (status, param, str(status)) == (answer.status, error["param"], error["code"]), (
                path,
                body,
            )


async def test_who_exists_or_does_not_is_named_by_its_member(subject: Subject) -> None:
    """As LiteLLM's bodies call it; nothing of the contracts between the services."""
    kinds = {"user": "user_id", "team": "team_id", "budget": "budget_id", "customer": "user_id"}
    for kind, member in {**kinds, "organization": "organization_id", "tag": "name"}.items():
        body = {member: "first"}
        assert 200 == (await subject.post(f"/{kind}/new", body)).status, kind
        again = await subject.post(f"/{kind}/new", body)
        missing = await subject.post(f"/{kind}/update", {member: "nobody", "max_budget": 1})
        assert (400, member) == (again.status, again.json["error"]["param"]), kind
        assert (404, member) == (missing.status, missing.json["error"]["param"]), kind


async def test_management_is_the_admins(subject: Subject) -> None:
    """Every route of it, but for looking at oneself; and the documentation has them all."""
    key = await subject.new_key(user_id="u")
    paths = (await subject.get("/openapi.json")).json["paths"]
    kinds = {"keys", "users", "teams", "customers", "budgets", "organizations", "tags"}
    managed = [
        (path, method)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if kinds & set(operation.get("tags", ()))
    ]
    assert 45 <= len(managed)
    own = {"/key/info", "/key/list", "/key/health", "/user/info", "/team/info"}
    names = ("id", "key", "name", "team_id", "user_id", "budget_id", "organization_id")
    lists = ("names", "keys", "user_ids", "team_ids", "budgets", "organization_ids")
    body: dict[str, Any] = dict.fromkeys(names, "x") | {name: ["x"] for name in lists}
    body["member"] = {"user_id": "x"}
    for path, method in managed:
        if path in own:
            continue
        query = "?end_user_id=a&budget_id=a&organization_id=a" if method == "get" else ""
        url = f"{subject.mesh.url}{path.replace('{key}', 'sk-whatever-key')}{query}"
        async with subject.session.request(method, url, json=body, headers=subject.headers(key)) as answer:
            assert 401 == answer.status, (path, await answer.read())
