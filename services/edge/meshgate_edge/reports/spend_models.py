"""Queries and bodies of /spend/*, as FastAPI validates and documents them."""

from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, JsonValue

ROWS_MAX = 1_000
NAME_CHARACTERS_MAX = 256
KEY_CHARACTERS_MAX = 512

Name = Annotated[str, Field(max_length=NAME_CHARACTERS_MAX)]


class LogsQuery(BaseModel):
    """Of /spend/logs."""

    model_config = ConfigDict(extra="ignore")

    request_id: Name = ""
    api_key: str = Field("", max_length=KEY_CHARACTERS_MAX, description="A key or its hash.")
    user_id: Name = ""
    start_date: str = Field("", description="2026-11-20, or 2026-11-20 12:00:00 (UTC)")
    end_date: str = Field("", description="Included.")
    summarize: bool = True
    limit: int = Field(ROWS_MAX, ge=1, le=ROWS_MAX)
    page: int = Field(1, ge=1)


class LogPageQuery(BaseModel):
    """Of /spend/logs/ui and /v2. All that is given must hold."""

    model_config = ConfigDict(extra="ignore")

    start_date: str = Field("", description="2026-11-20 12:00:00 (UTC), or a day")
    end_date: str = ""
    page: int = Field(1, ge=1)
    page_size: int = Field(50, ge=1, le=ROWS_MAX)
    api_key: str = Field("", max_length=KEY_CHARACTERS_MAX)
    user_id: Name = ""
    request_id: Name = ""
    team_id: Name = ""
    end_user: Name = ""
    model: Name = ""
    model_group: Name = ""
    provider: Name = ""
    tag: Name = ""
    status_filter: Literal["success", "failure", ""] = ""
    min_spend: float | None = Field(None, ge=0)
    max_spend: float | None = Field(None, ge=0)


class CalculateRequest(BaseModel):
    """LiteLLM's: a model and messages, or an answer with its usage."""

    model_config = ConfigDict(extra="ignore")

    model: str | None = Field(None, max_length=NAME_CHARACTERS_MAX)
    messages: list[JsonValue] | None = None
    completion_response: dict[str, JsonValue] | None = None


Logs = Annotated[LogsQuery, Query()]
LogPage = Annotated[LogPageQuery, Query()]
Limit = Annotated[int, Query(ge=1, le=ROWS_MAX)]
GivenName = Annotated[str, Query(max_length=NAME_CHARACTERS_MAX)]
GivenKey = Annotated[str, Query(max_length=KEY_CHARACTERS_MAX)]
