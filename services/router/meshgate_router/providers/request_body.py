"""A chat request with its deployment's defaults, as the JSON object that translations begin with. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.chat.request_json import request_to_json
from meshgate_chassis.config.model import Deployment
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.base import unfit, unsupported

# Members that speak to the gateway; a provider never sees them.
_OWN_MEMBERS = ("drop_params", "additional_drop_params", "allowed_openai_params", "extra_headers")

# Advice to OpenAI's own service, without meaning for providers of another shape.
_ADVICE: Final = frozenset(
    {
        "store",
        "moderation",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "verbosity",
        "stream_options",
    }
)


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


def passed_through(
    provider: str, request: RequestBody, translated: Collection[str], unsupported_members: Mapping[str, Any]
) -> JsonObject:
    """The members that nobody translates, as they are, for providers of another shape.

    `unsupported_members`: by name the value that asks for nothing, and so is no reason to refuse.
    Raises ProviderError UNSUPPORTED_PARAMETER naming the member.
    """
    body: JsonObject = {}
    for name, value in request.body.items():
        if name in translated or name in _ADVICE or value is None:
            continue
        if name in unsupported_members:
            if not request.drop_params and value != unsupported_members[name]:
                raise unsupported(provider, name)
            continue
        body[name] = value
    return body


def token_limit(source: JsonObject) -> Any:
    """Of the answer; None: no limit was set. The newer name wins."""
    limit = source.get("max_completion_tokens")
    return source.get("max_tokens") if limit is None else limit


def stop_sequences(source: JsonObject) -> list[str]:
    """`stop` as a list. Raises ProviderError FIELD_INVALID."""
    stop = source.get("stop")
    if stop is None:
        return []
    sequences = [stop] if isinstance(stop, str) else stop
    if not isinstance(sequences, list) or not all(isinstance(item, str) for item in sequences):
        raise unfit("stop", "must be a string or a list of strings")
    return sequences


def json_schema(source: JsonObject) -> JsonObject | None:
    """The `json_schema` member of a `response_format` of that type, with its `schema`; None for any other.

    Raises ProviderError FIELD_INVALID.
    """
    wanted = source.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    described = wanted.get("json_schema")
    if not isinstance(described, dict) or not isinstance(described.get("schema"), dict):
        raise unfit("response_format.json_schema.schema", "is required")
    return described


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
