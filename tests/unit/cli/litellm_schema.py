"""A LiteLLM database as far as it is imported: tables as its migrations make them, and a way to fill them."""

import json
from collections.abc import Mapping
from typing import Any

import asyncpg

LIMITS = """
    max_budget double precision, soft_budget double precision, budget_duration text,
    budget_reset_at timestamp(3), tpm_limit bigint, rpm_limit bigint, max_parallel_requests int,
    model_max_budget jsonb DEFAULT '{}'
"""
DAILY = """
    date text NOT NULL, api_key text NOT NULL, model text, model_group text, custom_llm_provider text,
    mcp_namespaced_tool_name text, prompt_tokens bigint NOT NULL DEFAULT 0,
    completion_tokens bigint NOT NULL DEFAULT 0, cache_read_input_tokens bigint NOT NULL DEFAULT 0,
    cache_creation_input_tokens bigint NOT NULL DEFAULT 0, spend double precision NOT NULL DEFAULT 0,
    api_requests bigint NOT NULL DEFAULT 0, successful_requests bigint NOT NULL DEFAULT 0,
    failed_requests bigint NOT NULL DEFAULT 0
"""
SPEND = "spend double precision NOT NULL DEFAULT 0"

TABLES: Mapping[str, str] = {
    "LiteLLM_BudgetTable": f"budget_id text PRIMARY KEY, {LIMITS}",
    "LiteLLM_OrganizationTable": f"organization_id text PRIMARY KEY, organization_alias text NOT NULL, "
    f"budget_id text NOT NULL, metadata jsonb NOT NULL DEFAULT '{{}}', models text[], {SPEND}",
    "LiteLLM_UserTable": f"user_id text PRIMARY KEY, user_alias text, user_email text, user_role text, "
    f"organization_id text, models text[], metadata jsonb NOT NULL DEFAULT '{{}}', {SPEND}, {LIMITS}",
    "LiteLLM_TeamTable": f"team_id text PRIMARY KEY, team_alias text, organization_id text, "
    "members_with_roles jsonb NOT NULL DEFAULT '{}', metadata jsonb NOT NULL DEFAULT '{}', models text[], "
    f"blocked boolean NOT NULL DEFAULT false, {SPEND}, {LIMITS}",
    "LiteLLM_TeamMembership": f"user_id text, team_id text, budget_id text, {SPEND}, "
    "PRIMARY KEY (user_id, team_id)",
    "LiteLLM_EndUserTable": f"user_id text PRIMARY KEY, alias text, budget_id text, "
    f"blocked boolean NOT NULL DEFAULT false, {SPEND}",
    "LiteLLM_TagTable": f"tag_name text PRIMARY KEY, description text, budget_id text, {SPEND}",
    "LiteLLM_VerificationToken": f"token text PRIMARY KEY, key_name text, key_alias text, {SPEND}, "
    "expires timestamp(3), models text[], aliases jsonb NOT NULL DEFAULT '{}', "
    "config jsonb NOT NULL DEFAULT '{}', user_id text, team_id text, "
    "permissions jsonb NOT NULL DEFAULT '{}', metadata jsonb NOT NULL DEFAULT '{}', blocked boolean, "
    "allowed_cache_controls text[] DEFAULT '{}', allowed_routes text[] DEFAULT '{}', budget_id text, "
    f"organization_id text, {LIMITS}",
    "LiteLLM_SpendLogs": f"request_id text PRIMARY KEY, call_type text, api_key text NOT NULL DEFAULT '', "
    f"{SPEND}, prompt_tokens int NOT NULL DEFAULT 0, completion_tokens int NOT NULL DEFAULT 0, "
    '"startTime" timestamp(3) NOT NULL, model text, model_group text, custom_llm_provider text, "user" text, '
    "cache_hit text, request_tags jsonb DEFAULT '[]', team_id text, end_user text, status text",
    "LiteLLM_DailyUserSpend": f"user_id text, {DAILY}",
    "LiteLLM_DailyTagSpend": f"tag text, {DAILY}",
}


async def make_tables(connection: asyncpg.Connection, without: frozenset[str] = frozenset()) -> None:
    """Empty ones; `without`: what an older version does not have."""
    for name, columns in TABLES.items():
        if name not in without:
            await connection.execute(f'CREATE TABLE "{name}" ({columns})')


async def add(connection: asyncpg.Connection, table: str, **members: Any) -> None:
    """One row."""
    names = ", ".join(f'"{name}"' for name in members)
    marks = ", ".join(f"${place + 1}" for place in range(len(members)))
    values = [json.dumps(value) if _is_json(name, value) else value for name, value in members.items()]
    await connection.execute(f'INSERT INTO "LiteLLM_{table}" ({names}) VALUES ({marks})', *values)


def _is_json(name: str, value: Any) -> bool:
    return isinstance(value, dict) or name in ("members_with_roles", "request_tags")
