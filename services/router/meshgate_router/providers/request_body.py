"""A chat request with its deployment's defaults, as the JSON object that translations begin with. Pure."""

from dataclasses import dataclass
from typing import Any

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.chat.request_json import request_to_json
from meshgate_chassis.config.model import Deployment
from meshgate_protos.chat.v1 import chat_pb2 as pb

# Members that speak to the gateway; a provider never sees them.
_OWN_MEMBERS = ("drop_params", "additional_drop_params", "allowed_openai_params", "extra_headers")


@dataclass(frozen=True, slots=True)
class RequestBody:
    """`body`: OpenAI's shape, with the model's name at the provider. `extra`: `extra_body`, for the provider
    as it is. `drop_params`: leave out what the provider does not support, instead of refusing."""

    body: JsonObject
    extra: JsonObject
    drop_params: bool


def request_body(chat: pb.ChatRequest, deployment: Deployment) -> RequestBody:
    """The request's own value wins over the deployment's default."""
    own = request_to_json(chat)
    body = {**deployment.request_defaults, **own} if deployment.request_defaults else own
    body["model"] = deployment.upstream_model
    drop_params = deployment.drop_params or body.get("drop_params") is True
    for name in _names(body.get("additional_drop_params")):
        body.pop(name, None)
    extra = body.pop("extra_body", None)
    for name in _OWN_MEMBERS:
        body.pop(name, None)
    return RequestBody(body, extra if isinstance(extra, dict) else {}, drop_params)


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
