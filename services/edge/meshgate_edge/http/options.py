"""What a request asks of the gateway itself, taken out of the body that goes to the provider. Pure.

Names are LiteLLM's; `compression` is ours. A body member wins over a header. Members that nobody here knows
stay in the body for the provider; refusals name the member as OpenAI does.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject, kind_name
from meshgate_chassis.errors import MeshError, invalid_field
from meshgate_edge.call import CacheOptions, CallOptions, CompressionOptions

RETRIES_MAX: Final = 10
TIMEOUT_S_MAX: Final = 86_400.0
TTL_S_MAX: Final = 30 * 86_400.0
FALLBACKS_MAX: Final = 10
TAGS_MAX: Final = 64
NAME_CHARACTERS_MAX: Final = 256

# Taken out and acted on.
_ACTED_ON: Final = frozenset(
    {"cache", "caching", "compression", "num_retries", "max_retries", "timeout", "request_timeout"}
    | {"stream_timeout", "fallbacks", "tags", "metadata"}
)
# Taken out, because LiteLLM takes them, and without effect here.
_WITHOUT_EFFECT: Final = frozenset(
    {"guardrails", "drop_params", "additional_drop_params", "allowed_openai_params", "extra_headers"}
    | {"mock_response", "context_window_fallback_dict", "context_window_fallbacks", "cooldown_time"}
    | {"user_api_key_dict", "proxy_server_request", "model_info", "model_list", "no-log"}
)
END_USER_HEADERS: Final = ("x-litellm-end-user-id", "x-litellm-customer-id")
COMPRESSION_HEADER: Final = "x-meshgate-compression"
COMPRESSORS: Final = ("extractive", "llmlingua", "none")  # the contract's
CACHE_HEADER: Final = "cache-control"
_HEADER_PREFIXES: Final = ("x-litellm-", COMPRESSION_HEADER, CACHE_HEADER)
_GATEWAY_PREFIXES: Final = ("litellm_", "mock_testing_")
# A client must not choose where its prompt and the operator's credentials go.
_REFUSED: Final = ("api_key", "api_base", "base_url", "organization", "custom_llm_provider")


def split_options(body: JsonObject, headers: Mapping[str, str]) -> tuple[JsonObject, CallOptions]:
    """The provider's part of the body, and the gateway's. Raises `invalid_field`."""
    body = _with_extra_body(body)
    for name in _REFUSED:
        if name in body:
            raise invalid_field(name, f"{name} may not be set by clients")
    chat = {name: value for name, value in body.items() if not _is_for_gateway(name)}
    if len(chat) == len(body) and not any(name.startswith(_HEADER_PREFIXES) for name in headers):
        return chat, _NOTHING_ASKED
    return chat, CallOptions(
        cache=_cache_options(body, headers),
        compression=_compression_options(body, headers),
        num_retries=_retries(body, headers),
        timeout_s=_timeout_s(body, headers),
        fallbacks=_fallbacks(body.get("fallbacks"), body.get("model")),
        tags=_tags(body, headers),
        end_user=_end_user(headers),
    )


_NOTHING_ASKED: Final = CallOptions()


def _is_for_gateway(name: str) -> bool:
    return name in _ACTED_ON or name in _WITHOUT_EFFECT or name.startswith(_GATEWAY_PREFIXES)


def _with_extra_body(body: JsonObject) -> JsonObject:
    """`extra_body` holds further members; it never replaces one, so that no check is passed by."""
    if "extra_body" not in body:
        return body
    rest = {name: value for name, value in body.items() if name != "extra_body"}
    extra = body["extra_body"]
    return rest if extra is None else _need_object("extra_body", extra) | rest


def _cache_options(body: JsonObject, headers: Mapping[str, str]) -> CacheOptions:
    skipped = body.get("caching") is not None and not _need_boolean("caching", body["caching"])
    cache = {} if body.get("cache") is None else _need_object("cache", body["cache"])
    cache = _cache_control(headers.get(CACHE_HEADER, "")) | cache

    def flag(name: str) -> bool:
        value = cache.get(name)
        return value is not None and _need_boolean(f"cache.{name}", value)

    def seconds(*names: str) -> float | None:
        for name in names:
            if cache.get(name) is not None:
                return _need_number(f"cache.{name}", cache[name], 0, TTL_S_MAX)
        return None

    ttl_s = seconds("ttl")
    return CacheOptions(
        read=not (skipped or flag("no-cache")),
        write=not (skipped or flag("no-store") or ttl_s == 0),
        ttl_s=ttl_s,
        max_age_s=seconds("s-maxage", "s-max-age"),
        namespace=_cache_namespace(body, cache),
        opt_in=flag("use-cache"),
    )


def _cache_namespace(body: JsonObject, cache: JsonObject) -> str:
    """The cache's own member, else LiteLLM's in the metadata."""
    if cache.get("namespace") is not None:
        return _need_name("cache.namespace", cache["namespace"])
    metadata = body.get("metadata")
    name = metadata.get("redis_namespace") if type(metadata) is dict else None
    return "" if name is None else _need_name("metadata.redis_namespace", name)


def _cache_control(text: str) -> JsonObject:
    """HTTP's header as members of `cache`; directives of others are theirs."""
    found: JsonObject = {}
    for directive in text.lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name in ("no-cache", "no-store"):
            found[name] = True
        elif name in ("s-maxage", "max-age") and value.isascii() and value.isdigit():
            found["s-max-age"] = min(int(value[:10]), int(TTL_S_MAX))
    return found


def _compression_options(body: JsonObject, headers: Mapping[str, str]) -> CompressionOptions:
    asked = body.get("compression")
    if asked is None:
        return CompressionOptions(enabled=_switch(COMPRESSION_HEADER, headers.get(COMPRESSION_HEADER)))
    if type(asked) is bool:
        return CompressionOptions(enabled=asked)
    if type(asked) is not dict:
        raise _wrong("compression", "a boolean or an object", asked)
    values: dict[str, Any] = {}
    for name, value in asked.items():
        if name not in _COMPRESSION_MEMBERS:
            raise invalid_field(f"compression.{name}", f"compression.{name} is not known")
        if value is not None:
            values[name] = _COMPRESSION_MEMBERS[name](f"compression.{name}", value)
    # An object asks for compression unless it says otherwise.
    return CompressionOptions(**{"enabled": True} | values)


def _switch(header: str, text: str | None) -> bool | None:
    if text is None:
        return None
    known = {"on": True, "true": True, "off": False, "false": False}.get(text.strip().lower())
    if known is None:
        raise invalid_field(header, f"{header} must be on or off")
    return known


def _retries(body: JsonObject, headers: Mapping[str, str]) -> int | None:
    for name in ("num_retries", "max_retries"):
        if body.get(name) is not None:
            return _need_count(name, body[name], RETRIES_MAX)
    text = headers.get("x-litellm-num-retries")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise invalid_field("x-litellm-num-retries", "x-litellm-num-retries must be an integer")
    return _need_count("x-litellm-num-retries", int(text), RETRIES_MAX)


def _timeout_s(body: JsonObject, headers: Mapping[str, str]) -> float | None:
    stream_first = ("stream_timeout", "timeout", "request_timeout")
    names = stream_first if body.get("stream") is True else stream_first[1:]
    for name in names:
        if body.get(name) is not None:
            return _need_number(name, body[name], 0.001, TIMEOUT_S_MAX)
    for name in names[:-1]:
        header = f"x-litellm-{name.replace('_', '-')}"
        text = headers.get(header)
        if text is not None:
            try:
                return _need_number(header, float(text), 0.001, TIMEOUT_S_MAX)
            except ValueError:
                raise invalid_field(header, f"{header} must be a number of seconds") from None
    return None


def _fallbacks(asked: Any, model: Any) -> tuple[str, ...]:
    """Names of model groups; also LiteLLM's {"model": name} and {requested model: [names]}."""
    if asked is None:
        return ()
    if type(asked) is not list:
        raise _wrong("fallbacks", "a list", asked)
    names: list[str] = []
    for index, item in enumerate(asked):
        path = f"fallbacks[{index}]"
        if type(item) is not dict:
            names.append(_need_name(path, item))
        elif "model" in item:
            names.append(_need_name(f"{path}.model", item["model"]))
        else:
            for group, targets in item.items():
                if type(targets) is not list:
                    raise _wrong(f"{path}.{group}", "a list", targets)
                if group == model:
                    names += [_need_name(f"{path}.{group}[{at}]", name) for at, name in enumerate(targets)]
    if len(names) > FALLBACKS_MAX:
        raise invalid_field("fallbacks", f"fallbacks has more than {FALLBACKS_MAX} entries")
    return tuple(names)


def _tags(body: JsonObject, headers: Mapping[str, str]) -> tuple[str, ...]:
    metadata = body.get("metadata")
    lists = [("tags", body.get("tags"))]
    if metadata is not None:
        lists.append(("metadata.tags", _need_object("metadata", metadata).get("tags")))
    tags: list[str] = []
    for path, values in lists:
        if values is None:
            continue
        if type(values) is not list:
            raise _wrong(path, "a list", values)
        tags += [_need_name(f"{path}[{index}]", value) for index, value in enumerate(values)]
    named = (tag.strip() for tag in headers.get("x-litellm-tags", "").split(","))
    tags += [_need_name("x-litellm-tags", tag) for tag in named if tag]
    unique = tuple(dict.fromkeys(tags))
    if len(unique) > TAGS_MAX:
        raise invalid_field("tags", f"tags has more than {TAGS_MAX} entries")
    return unique


def _end_user(headers: Mapping[str, str]) -> str:
    for name in END_USER_HEADERS:
        if headers.get(name):
            return _need_name(name, headers[name])
    return ""


def _need_object(path: str, value: Any) -> JsonObject:
    if type(value) is not dict:
        raise _wrong(path, "an object", value)
    return value


def _need_boolean(path: str, value: Any) -> bool:
    if type(value) is not bool:
        raise _wrong(path, "a boolean", value)
    return value


def _need_count(path: str, value: Any, maximum: int) -> int:
    if type(value) is not int:
        raise _wrong(path, "an integer", value)
    if not 0 <= value <= maximum:
        raise invalid_field(path, f"{path} must be between 0 and {maximum}")
    return value


def _need_number(path: str, value: Any, minimum: float, maximum: float) -> float:
    if type(value) not in (int, float):
        raise _wrong(path, "a number", value)
    if not minimum <= value <= maximum:  # true of NaN as well
        raise invalid_field(path, f"{path} must be between {minimum:g} and {maximum:g}")
    return float(value)


def _need_name(path: str, value: Any) -> str:
    if type(value) is not str:
        raise _wrong(path, "a string", value)
    if not 1 <= len(value) <= NAME_CHARACTERS_MAX:
        raise invalid_field(path, f"{path} must have 1 to {NAME_CHARACTERS_MAX} characters")
    return value


def _wrong(path: str, wanted: str, value: Any) -> MeshError:
    return invalid_field(path, f"{path} must be {wanted}, not {kind_name(value)}")


def _need_share(path: str, value: Any) -> float:
    return _need_number(path, value, 0.05, 1)


def _need_tokens(path: str, value: Any) -> int:
    return _need_count(path, value, 10**9)


def _need_compressor(path: str, value: Any) -> str:
    name = _need_name(path, value)
    if name not in COMPRESSORS:
        raise invalid_field(path, f"{path} must be one of {', '.join(COMPRESSORS)}")
    return name


_COMPRESSION_MEMBERS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "enabled": _need_boolean,
    "target_ratio": _need_share,
    "rag_target_ratio": _need_share,
    "min_tokens": _need_tokens,
    "compressor": _need_compressor,
    "rag": _need_boolean,
    "allow_system": _need_boolean,
    "guard": _need_boolean,
}
