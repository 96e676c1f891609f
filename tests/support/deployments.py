"""Deployments for tests of translations, which need nothing else of the router."""

from typing import Any, Final

from meshgate_chassis.config.model import Deployment, Secret

SECRET: Final = "sk-planted-secret-0123456789"


def deployment(name: str = "gpt", provider: str = "openai", **changes: Any) -> Deployment:
    """A deployment with an id made of its name; `changes` replace any member."""
    members: dict[str, Any] = {
        "id": f"id-{name}",
        "model_group": name,
        "provider": provider,
        "upstream_model": f"{name}-upstream",
        "api_base": None,
        "api_key": Secret(SECRET),
        "request_defaults": {},
        "extra_headers": {},
        "timeout_s": None,
        "stream_timeout_s": None,
        "rpm": None,
        "tpm": None,
        "weight": None,
        "price": None,
        "drop_params": False,
        "mode": "chat",
        "model_info": {},
    }
    return Deployment(**{**members, **changes})
