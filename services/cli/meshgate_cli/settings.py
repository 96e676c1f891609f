"""What the command line takes from its environment. The only place of this package that reads it."""

import os
from collections.abc import Mapping

PORT = 4000
HOST = "127.0.0.1"


def environment() -> dict[str, str]:
    """A copy; what a service inherits is made of it."""
    return dict(os.environ)  # noqa: TID251 - this is the settings module


def default_port(environ: Mapping[str, str]) -> int:
    """PORT, as LiteLLM names it."""
    value = environ.get("PORT", "")
    return int(value) if value.isdigit() else PORT


def default_host(environ: Mapping[str, str]) -> str:
    """HOST; loopback unless it is set."""
    return environ.get("HOST") or HOST


def redis_given(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a Redis server."""
    return bool(environ.get("REDIS_URL") or environ.get("REDIS_HOST"))
