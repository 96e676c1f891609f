# ruff: noqa: S608 - names of tables and columns are ours
"""Reads LiteLLM's database: its own tables, in one snapshot that changes nothing.

Versions of LiteLLM differ: tables and columns that are not there are read as empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from meshgate_ledger.settings import plain_dsn

CONNECT_TIMEOUT_S = 10.0
SCHEMA = "public"

LIMITS = (
    *("max_budget", "soft_budget", "budget_duration", "budget_reset_at", "tpm_limit", "rpm_limit"),
    *("max_parallel_requests", "model_max_budget"),
)
TABLES: Mapping[str, Sequence[str]] = {
    "LiteLLM_VerificationToken": (
        *("token", "key_name", "key_alias", "spend", "expires", "models", "aliases", "user_id", "team_id"),
        *("metadata", "blocked", "budget_id", "organization_id", "permissions", "config"),
        *("allowed_routes", "allowed_cache_controls", *LIMITS),
    ),
    "LiteLLM_DeletedVerificationToken": ("token", "user_id", "team_id", "organization_id"),
    "LiteLLM_UserTable": (
        *("user_id", "user_alias", "user_email", "user_role", "spend", "models", "metadata"),
        *("organization_id", *LIMITS),
    ),
    "LiteLLM_TeamTable": (
        *("team_id", "team_alias", "organization_id", "members_with_roles", "metadata", "spend", "models"),
        *("blocked", *LIMITS),
    ),
    "LiteLLM_TeamMembership": ("user_id", "team_id", "spend", "budget_id"),
    "LiteLLM_OrganizationTable": (
        *("organization_id", "organization_alias", "budget_id", "metadata", "models", "spend"),
    ),
    "LiteLLM_EndUserTable": ("user_id", "alias", "spend", "budget_id", "blocked"),
    "LiteLLM_TagTable": ("tag_name", "description", "spend", "budget_id"),
    "LiteLLM_BudgetTable": ("budget_id", *LIMITS),
}

# Sums by day: the name of the label's column, if there is one, and that of a daily table.
DAILY = {
    "": ("LiteLLM_DailyUserSpend", "user_id", ""),
    "tag": ("LiteLLM_DailyTagSpend", "", "tag"),
    "end_user": ("LiteLLM_DailyEndUserSpend", "", "end_user_id"),
}
COUNTED = {
    "spend": "spend",
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "cached_tokens": "cache_read_input_tokens",
    "cache_creation_tokens": "cache_creation_input_tokens",
    "requests": "api_requests",
    "failures": "failed_requests",
}
# Of single calls, where no daily table knows the day.
TAGS_OF_CALL = (
    ", LATERAL jsonb_array_elements_text(CASE jsonb_typeof(request_tags::jsonb) WHEN 'array' "
    "THEN request_tags::jsonb ELSE '[]'::jsonb END) t (label)"
)
LOG_LABELS = {
    "": ("''", ""),
    "tag": ("t.label", TAGS_OF_CALL),
    "end_user": ("coalesce(end_user, '')", ""),
}

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class LiteLlm:
    """Its tables by name, and its days by the kind of label ('': none), of daily tables and of logs."""

    tables: Mapping[str, Rows]
    daily: Mapping[str, Rows]
    logged: Mapping[str, Rows]


class NoLiteLlmError(Exception):
    """The database has none of LiteLLM's tables."""


async def read_litellm(url: str) -> LiteLlm:
    """Everything. Raises NoLiteLlmError, and what asyncpg raises."""
    schema = parse_qs(urlsplit(url).query).get("schema", [SCHEMA])[0]
    connection = await asyncpg.connect(
        plain_dsn(url), timeout=CONNECT_TIMEOUT_S, server_settings={"timezone": "UTC"}
    )
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            reader = _Reader(connection, schema, await _columns(connection, schema))
            if "LiteLLM_VerificationToken" not in reader.columns:
                raise NoLiteLlmError(f"there are no tables of LiteLLM in the schema {schema}")
            tables = {name: await reader.rows(name, columns) for name, columns in TABLES.items()}
            daily = {kind: await reader.daily(kind) for kind in DAILY}
            logged = {kind: await reader.logged(kind) for kind in LOG_LABELS}
    finally:
        await connection.close()
    return LiteLlm(tables, daily, logged)


async def _columns(connection: asyncpg.Connection, schema: str) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in await connection.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = $1", schema
    ):
        found.setdefault(row["table_name"], set()).add(row["column_name"])
    return found


@dataclass(frozen=True, slots=True)
class _Reader:
    connection: asyncpg.Connection
    schema: str
    columns: Mapping[str, set[str]]

    async def rows(self, table: str, columns: Sequence[str]) -> Rows:
        """The columns that there are; the others are None."""
        there = self.columns.get(table, set())
        if not there:
            return ()
        wanted = ", ".join(f'"{name}"' if name in there else f'NULL AS "{name}"' for name in columns)
        return await self._fetch(f"SELECT {wanted} FROM {self._name(table)}")

    async def daily(self, kind: str) -> Rows:
        """By day, key, user, model and label."""
        table, user, label = DAILY[kind]
        there = self.columns.get(table, set())
        if not there:
            return ()
        sums = ", ".join(
            f"coalesce(sum({column}), 0) AS {name}" if column in there else f"0 AS {name}"
            for name, column in COUNTED.items()
        )
        parts = {
            "day": "date",
            "api_key": "api_key",
            "user_id": f"coalesce({user}, '')" if user else "''",
            "model": "coalesce(model, '')",
            "model_group": "coalesce(model_group, '')" if "model_group" in there else "''",
            "provider": "coalesce(custom_llm_provider, '')",
            "label": f"coalesce({label}, '')" if label else "''",
        }
        named = ", ".join(f"{text} AS {name}" for name, text in parts.items())
        numbers = ", ".join(str(1 + place) for place in range(len(parts)))
        return await self._fetch(
            f"SELECT {named}, {sums}, 0 AS cache_hits FROM {self._name(table)} GROUP BY {numbers}"
        )

    async def logged(self, kind: str) -> Rows:
        """The same from the single calls."""
        there = self.columns.get("LiteLLM_SpendLogs", set())
        label, source = LOG_LABELS[kind]
        needed = {"tag": "request_tags", "end_user": "end_user"}.get(kind, "startTime")
        if needed not in there:
            return ()
        failed = "status = 'failure'" if "status" in there else "false"
        team = "coalesce(team_id, '')" if "team_id" in there else "''"
        organization = "coalesce(organization_id, '')" if "organization_id" in there else "''"
        return await self._fetch(
            "SELECT to_char(\"startTime\", 'YYYY-MM-DD') AS day, api_key, coalesce(\"user\", '') AS user_id, "
            "coalesce(model, '') AS model, coalesce(model_group, '') AS model_group, "
            f"coalesce(custom_llm_provider, '') AS provider, {label} AS label, {team} AS team_id, "
            f"{organization} AS organization_id, coalesce(sum(spend), 0) AS spend, "
            "coalesce(sum(prompt_tokens), 0) AS prompt_tokens, "
            "coalesce(sum(completion_tokens), 0) AS completion_tokens, 0 AS cached_tokens, "
            "0 AS cache_creation_tokens, count(*) AS requests, "
            f"count(*) FILTER (WHERE {failed}) AS failures, "
            "count(*) FILTER (WHERE cache_hit = 'True') AS cache_hits "
            f"FROM {self._name('LiteLLM_SpendLogs')}{source} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9"
        )

    async def _fetch(self, query: str) -> Rows:
        return list(await self.connection.fetch(query))

    def _name(self, table: str) -> str:
        schema = self.schema.replace('"', '""')
        return f'"{schema}"."{table}"'
