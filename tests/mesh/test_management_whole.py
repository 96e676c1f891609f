"""What is made with one request is made as a whole, or not at all."""

from typing import Any

import asyncpg
import pytest

from tests.mesh.management import ok, shown
from tests.mesh.subject import Subject

TABLES = ("entities", "keys", "team_members", "accounts", "limits", "changes")


async def rows(subject: Subject) -> dict[str, int]:
    """How many rows management has written so far."""
    connection = await asyncpg.connect(subject.mesh.database_url)
    try:
        return {table: await connection.fetchval(f"SELECT count(*) FROM ledger.{table}") for table in TABLES}
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/user/new", {"user_id": "u", "key_alias": "taken", "max_budget": 1}, 400),
        ("/user/new", {"user_id": "u", "teams": ["crew", "nobody's"], "key_alias": "free"}, 404),
        ("/user/new", {"user_id": "u", "duration": "never", "max_budget": 1}, 400),
        ("/user/new", {"user_id": "u", "team_id": "new", "budget_id": "none", "max_budget": 1}, 400),
        ("/team/new", {"team_id": "t", "members_with_roles": [{"user_id": "a"}, {"role": "user"}]}, 400),
        (
            "/team/new",
            {"team_id": "t", "members_with_roles": [{"user_id": "a"}, {"user_id": "b" * 201}]},
            422,
        ),
        ("/team/new", {"team_id": "crew", "members": ["a", "b"]}, 400),
        ("/team/new", {"team_id": "t", "members_with_roles": [{"user_id": "a", "role": "king"}]}, 400),
    ],
)
async def test_nothing_is_left_of_what_is_refused(
    subject: Subject, path: str, body: dict[str, Any], status: int
) -> None:
    """Neither the user without a key, nor the team without its members, nor an account or a limit."""
    await subject.new_key(key_alias="taken")
    await ok(subject, "/team/new", team_id="crew")
    before = await rows(subject)

    answer = await subject.post(path, body)

    assert status == answer.status, answer.body
    assert before == await rows(subject)


async def test_a_user_with_teams_and_a_key(subject: Subject) -> None:
    """All there, in one change; the key's team was not there before, and the key spends from all of them."""
    await ok(subject, "/team/new", team_id="crew", team_member_budget=10)
    before = await rows(subject)
    made = await ok(
        subject,
        "/user/new",
        user_id="u",
        max_budget=5,
        teams=[{"team_id": "crew", "user_role": "admin"}],
        team_id="late",
        key_alias="first",
        tpm_limit=100_000,
    )
    after = await rows(subject)

    assert 1 == after["changes"] - before["changes"]
    told = (made["user_id"], made["teams"], made["max_budget"], made["key_alias"], made["team_id"])
    assert ("u", ["crew"], 5.0, "first", "late") == told
    assert 200 == (await subject.ask("hello", made["key"])).status
    user = await shown(subject, "/user/info?user_id=u")
    assert ["first"] == [key["key_alias"] for key in user["keys"]]
    crew = await shown(subject, "/team/info?team_id=crew")
    assert [("u", "admin")] == [
        (member["user_id"], member["role"]) for member in crew["team_info"]["members_with_roles"]
    ]
    assert "late" == (await shown(subject, "/team/info?team_id=late"))["team_id"]
    assert 1 == len(await subject.entries())


async def test_a_team_with_members_by_id_and_by_address(subject: Subject) -> None:
    """Users that do not exist are made with it, an address once; those that exist are found by it."""
    await ok(subject, "/user/new", user_id="known", user_email="Known@x.org", auto_create_key=False)
    before = await rows(subject)
    made = await ok(
        subject,
        "/team/new",
        team_id="t",
        team_member_budget=3,
        members_with_roles=[
            {"role": "admin", "user_id": "a"},
            {"user_email": "known@x.org"},
            {"user_email": "new@x.org"},
            {"user_email": "New@x.org", "role": "admin"},
        ],
    )
    after = await rows(subject)

    assert 1 == after["changes"] - before["changes"]
    assert 3 == after["entities"] - before["entities"]
    members = {member["user_id"]: member for member in made["members_with_roles"]}
    assert {"a", "known"} < members.keys()
    assert 3 == len(members)
    (new,) = members.keys() - {"a", "known"}
    assert ("admin", "new@x.org") == (members[new]["role"], members[new]["user_email"])
    assert "new@x.org" == (await shown(subject, f"/user/info?user_id={new}"))["user_info"]["user_email"]
