"""How the hot routes appear in the API's documentation, because FastAPI itself does not see them."""

from typing import Any, Final

_ERROR: Final = {
    "description": "An error in OpenAI's format",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIError"}}},
}

_ERROR_SCHEMA: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string", "description": "The HTTP status"},
            },
        }
    },
}

_CHAT_BODY: Final = {
    "type": "object",
    "required": ["model", "messages"],
    "additionalProperties": True,
    "description": "OpenAI's request; members that the gateway does not know go to the provider.",
    "properties": {
        "model": {"type": "string", "description": "A public model name of the configuration"},
        "messages": {"type": "array", "items": {"type": "object"}, "minItems": 1},
        "stream": {"type": "boolean", "description": "Server-sent events instead of one answer"},
        "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
        "tools": {"type": "array", "items": {"type": "object"}},
        "temperature": {"type": "number"},
        "max_tokens": {"type": "integer"},
        "cache": {"type": "object", "description": "no-cache, no-store, ttl, s-maxage, namespace, use-cache"},
        "compression": {
            "description": "true, false or an object: enabled, target_ratio, min_tokens, compressor, rag"
        },
        "num_retries": {"type": "integer"},
        "timeout": {"type": "number", "description": "Seconds for each provider call"},
        "fallbacks": {"type": "array", "items": {"type": "string"}},
        "tags": {"type": "array", "items": {"type": "string"}},
        "metadata": {"type": "object", "description": "For the gateway only; tags is read"},
    },
}

_SECURITY: Final[list[dict[str, list[str]]]] = [{"bearer": []}]


def document_hot_routes(schema: dict[str, Any]) -> dict[str, Any]:
    """Adds the paths that are served outside of FastAPI to its schema."""
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {})["OpenAIError"] = _ERROR_SCHEMA
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    paths = schema.setdefault("paths", {})
    paths["/v1/chat/completions"] = {"post": _chat_operation()}
    paths["/v1/models"] = {"get": _operation("models", "The models that the caller may use")}
    paths["/v1/models/{id}"] = {"get": _operation("models", "One model", ("id",))}
    paths["/health"] = {"get": _operation("health", "What the gateway serves, and how it is", public=True)}
    paths["/health/liveliness"] = {"get": _operation("health", "This process answers", public=True)}
    paths["/health/readiness"] = {"get": _operation("health", "Calls can be answered", public=True)}
    paths["/metrics"] = {"get": _operation("health", "Prometheus text format", public=True)}
    paths["/cache/ping"] = {"get": _operation("health", "The cache answers", public=True)}
    return schema


def _chat_operation() -> dict[str, Any]:
    operation = _operation("chat", "Complete a conversation")
    operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _CHAT_BODY}}}
    operation["responses"]["200"]["content"] = {
        "application/json": {"schema": {"type": "object"}},
        "text/event-stream": {"schema": {"type": "string"}},
    }
    return operation


def _operation(
    tag: str, summary: str, path_parameters: tuple[str, ...] = (), *, public: bool = False
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": [tag],
        "summary": summary,
        "responses": {"200": {"description": "OK"}},
    }
    if path_parameters:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in path_parameters
        ]
    if not public:
        operation["security"] = _SECURITY
        operation["responses"]["4XX"] = _ERROR
    return operation
