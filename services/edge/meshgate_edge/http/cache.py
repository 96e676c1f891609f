"""Management of the cache over HTTP: /cache/delete, /flushall, /stats, /feedback and /redis/info.

Who holds the master key manages, as with keys: an answer may belong to any tenant. /cache/ping is with the
health endpoints.
"""

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from meshgate_chassis.chat.json import JsonObject, loads, loads_object
from meshgate_chassis.errors import Code, MeshError, invalid_field
from meshgate_edge.http.authentication import Authenticator
from meshgate_edge.http.call_headers import usd
from meshgate_edge.http.messages import headers_of
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient

CACHE_TIMEOUT_S = 30.0
KEYS_MAX = 10_000
NAMESPACE_CHARACTERS_MAX = 256
NAMESPACES_MAX = 100  # of one request to delete: each is a question to the cache

Namespace = Field("", max_length=NAMESPACE_CHARACTERS_MAX)


class DeleteAnswersRequest(BaseModel):
    """`keys` as in x-litellm-cache-key, or as they are in Redis: with their namespace and a colon before."""

    model_config = ConfigDict(extra="forbid")

    keys: list[str] = Field(min_length=1, max_length=KEYS_MAX)
    namespace: str = Namespace


class FlushRequest(BaseModel):
    """Without a namespace, all of them; "" is the configured one."""

    model_config = ConfigDict(extra="forbid")

    namespace: str | None = Field(None, max_length=NAMESPACE_CHARACTERS_MAX)


class FeedbackRequest(BaseModel):
    """A wrong hit, by its headers x-litellm-cache-key and x-meshgate-cache-source-key."""

    model_config = ConfigDict(extra="forbid")

    cache_key: str = Field(min_length=1, max_length=128)
    source_key: str = Field(min_length=1, max_length=128)
    namespace: str = Namespace


@dataclass(frozen=True, slots=True)
class CacheEndpoints:
    """All of them need the master key."""

    cache: CacheServiceClient
    authenticator: Authenticator

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["cache"])
        router.add_api_route("/cache/delete", self.delete, methods=["POST"])
        router.add_api_route("/cache/flushall", self.flush, methods=["POST"])
        router.add_api_route("/cache/feedback", self.feedback, methods=["POST"])
        router.add_api_route("/cache/stats", self.stats, methods=["GET"])
        router.add_api_route("/cache/redis/info", self.redis_info, methods=["GET"])
        return router

    async def delete(self, request: Request, body: DeleteAnswersRequest) -> JsonObject:
        """These answers are not given any more."""
        self.authenticator.require_admin(headers_of(request.scope))
        by_namespace: dict[str, list[str]] = {}
        for name in body.keys:
            namespace, colon, key = name.rpartition(":")
            by_namespace.setdefault(namespace if colon else body.namespace, []).append(key)
        if len(by_namespace) > NAMESPACES_MAX:
            raise invalid_field("keys", f"keys are of more than {NAMESPACES_MAX} namespaces")
        count = 0
        for namespace, keys in by_namespace.items():
            wanted = pb.DeleteEntriesRequest(namespace=namespace, cache_keys=keys)
            count += (await self.cache.delete_entries(wanted, timeout_s=CACHE_TIMEOUT_S)).deleted_count
        return {"status": "success", "deleted": count}

    async def flush(self, request: Request, body: FlushRequest | None = None) -> JsonObject:
        """All answers go, or those of a namespace."""
        self.authenticator.require_admin(headers_of(request.scope))
        namespace = None if body is None else body.namespace
        wanted = pb.DeleteEntriesRequest(namespace=namespace or "", all_namespaces=namespace is None)
        deleted = await self.cache.delete_entries(wanted, timeout_s=CACHE_TIMEOUT_S)
        return {"status": "success", "deleted": deleted.deleted_count}

    async def feedback(self, request: Request, body: FeedbackRequest) -> JsonObject:
        """A semantic hit was wrong: these two questions never share an answer again."""
        self.authenticator.require_admin(headers_of(request.scope))
        wrong = pb.ReportHitRequest(
            namespace=body.namespace, cache_key=body.cache_key, source_key=body.source_key
        )
        await self.cache.report_hit(wrong, timeout_s=CACHE_TIMEOUT_S)
        return {"status": "success"}

    async def redis_info(self, request: Request) -> JsonObject:
        """What Redis tells of itself and of who is connected to it; of a cluster, of each of its servers.

        Raises FAILED_PRECONDITION/CACHE_NOT_REDIS.
        """
        self.authenticator.require_admin(headers_of(request.scope))
        wanted = pb.GetStatusRequest(describe_servers=True)
        servers = (await self.cache.get_status(wanted, timeout_s=CACHE_TIMEOUT_S)).servers
        if not servers:
            message = "answers are kept in the cache service's memory: there is no Redis to ask"
            raise MeshError(Code.FAILED_PRECONDITION, "CACHE_NOT_REDIS", message, domain="gateway.meshgate")
        infos = [loads_object(each.info_json) for each in servers]
        clients: list[Any] = []
        for each in servers:
            clients += loads(each.clients_json) if each.clients_json else []
        told: JsonObject = {
            "num_clients": sum(info.get("connected_clients", 0) for info in infos),
            "clients": clients,
            "info": infos[0],
        }
        return told if len(infos) == 1 else told | {"servers": infos}

    async def stats(self, request: Request) -> JsonObject:
        """Of the cache replica that answers, since its start; entries: what the store holds now."""
        self.authenticator.require_admin(headers_of(request.scope))
        wanted = pb.GetStatusRequest(count_entries=True)
        status = await self.cache.get_status(wanted, timeout_s=CACHE_TIMEOUT_S)
        told: JsonObject = {
            "enabled": status.enabled,
            "backend": status.backend,
            "reachable": status.reachable,
            "hits": status.hit_count,
            "misses": status.miss_count,
            "namespaces": {
                each.namespace: _namespace(each, counted=status.entries_counted) for each in status.namespaces
            },
        }
        if status.HasField("semantic"):
            told["semantic"] = {
                "model": status.semantic.model,
                "questions": status.semantic.question_count,
                "similarity_threshold": status.semantic.similarity_threshold,
                "score_threshold": status.semantic.score_threshold,
            }
        return told


def _namespace(status: pb.NamespaceStatus, *, counted: bool) -> dict[str, Any]:
    return {
        "entries": status.entry_count if counted else None,
        "hits": status.hit_count,
        "semantic_hits": status.semantic_hit_count,
        "misses": status.miss_count,
        "false_hit_reports": status.report_count,
        "questions": status.question_count,
        "saved_tokens": status.saved_tokens,
        "saved_usd": usd(status.saved_usd_nanos),
    }
