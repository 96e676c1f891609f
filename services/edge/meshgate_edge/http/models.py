"""GET /v1/models and /v1/models/{id}: what the caller may use, as OpenAI lists it."""

from collections.abc import Sequence
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from meshgate_chassis.chat.json import JsonObject, dumps
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.call import Principal
from meshgate_edge.catalog_step import ModelEntry
from meshgate_edge.http.authentication import Authenticator
from meshgate_edge.http.errors import render_error
from meshgate_edge.http.messages import headers_of

CREATED_S = 1_677_610_602  # LiteLLM's constant: nobody knows when a model was made
OWNER = "openai"  # likewise; clients that care read `provider`
JSON_TYPE = "application/json"


class ModelCatalog(Protocol):
    """What lists models: meshgate_edge.catalog_step.Catalog."""

    async def models(self, principal: Principal, *, patterns: bool = False) -> Sequence[ModelEntry]: ...


class ModelsEndpoint:
    """Answers from the catalog."""

    def __init__(self, catalog: ModelCatalog, authenticator: Authenticator) -> None:
        self._catalog = catalog
        self._authenticator = authenticator

    def routes(self) -> list[Route]:
        """Both, with and without /v1. Ids may hold slashes."""
        return [
            Route(f"{prefix}{path}", endpoint, methods=["GET"])
            for prefix in ("/v1", "")
            for path, endpoint in (("/models", self.list_all), ("/models/{id:path}", self.show_one))
        ]

    async def list_all(self, request: Request) -> Response:
        """Every model, in the order of the configuration. `return_wildcard_routes` lists patterns as well,
        `include_model_access_groups` and `only_model_access_groups` list access groups: LiteLLM's words."""
        entries = await self._models(request, patterns=_is_on(request, "return_wildcard_routes"))
        only = _is_on(request, "only_model_access_groups")
        data = [] if only else [entry_json(entry) for entry in entries]
        if only or _is_on(request, "include_model_access_groups"):
            names = dict.fromkeys(name for entry in entries for name in entry.access_groups)
            data += [entry_json(ModelEntry(name, (), "")) for name in names]
        body = {"object": "list", "data": data}
        return Response(dumps(body), media_type=JSON_TYPE)

    async def show_one(self, request: Request) -> Response:
        """One model, or 404 in the words of both OpenAI (`error`) and LiteLLM (`detail`)."""
        asked = request.path_params["id"]
        if not asked:
            return await self.list_all(request)
        for entry in await self._models(request):
            if entry.id == asked:
                return Response(dumps(entry_json(entry)), media_type=JSON_TYPE)
        text = f"The model `{asked}` does not exist or is not accessible"
        rendered = render_error(MeshError(Code.NOT_FOUND, "MODEL_NOT_LISTED", text, fields={"model": text}))
        return Response(dumps(rendered.body | {"detail": text}), status_code=404, media_type=JSON_TYPE)

    async def _models(self, request: Request, *, patterns: bool = False) -> Sequence[ModelEntry]:
        principal = self._authenticator.authenticate(headers_of(request.scope))
        if not patterns:
            return await self._catalog.models(principal)
        return await self._catalog.models(principal, patterns=True)


def _is_on(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in ("true", "1")


def entry_json(entry: ModelEntry) -> JsonObject:
    """One model as OpenAI lists it, with provider and mode."""
    return {
        "id": entry.id,
        "object": "model",
        "created": CREATED_S,
        "owned_by": OWNER,
        "provider": entry.providers[0] if entry.providers else "",
        "providers": list(entry.providers),
        "mode": entry.mode,
    }
