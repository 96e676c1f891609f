"""The HTTP rim on a real socket, in front of a pipeline that a test scripts."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from meshgate_chassis.chat.chunk_json import chunk_from_json
from meshgate_chassis.chat.response_json import response_from_json, usage_from_json
from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.model import Deployment, GatewayConfig
from meshgate_chassis.deadline import remaining_s
from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_chassis.telemetry import Telemetry
from meshgate_edge.call import CallInfo, ChatCall, Chunks, Completed, Ended, Principal, Started, StreamEvent
from meshgate_edge.catalog_step import ModelEntry
from meshgate_edge.http.app import HttpParts, build_http_app
from meshgate_edge.http.authentication import Authenticator
from meshgate_edge.http.body import BodyLimits
from meshgate_edge.http.cache import CacheEndpoints
from meshgate_edge.http.call_endpoint import CallEndpoint, CallParts
from meshgate_edge.http.call_rules import CallRules
from meshgate_edge.http.chat import ChatHandler
from meshgate_edge.http.completions import TextShape
from meshgate_edge.http.health import CacheStatus, HealthEndpoint, HealthParts, MeshState
from meshgate_edge.http.models import ModelsEndpoint
from meshgate_edge.http.protocol import HttpLimits
from meshgate_edge.http.server import HttpServerOptions, serve_http
from meshgate_edge.http.shapes import ChatShape
from meshgate_edge.management.entity_rules import EntityRules
from meshgate_edge.management.key_rules import KeyRules
from meshgate_edge.management.management import ManagementParts
from meshgate_edge.management.router import ManagementEndpoints
from meshgate_edge.metrics.edge import CallMetrics
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.ledger.v1.account_service_mesh import AccountServiceClient
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from tests.support.eventually import eventually
from tests.support.raw_http import Answer, connect
from tests.unit.edge.ledger_stand_in import LedgerStandIn

MASTER_KEY = "sk-master-key-of-the-tests"
BEARER = {"authorization": f"Bearer {MASTER_KEY}"}
CHAT = "/v1/chat/completions"
QUESTION: dict[str, Any] = {"model": "gpt", "messages": [{"role": "user", "content": "Hello?"}]}
RESPONSE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi"},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
}

ALL_UP = MeshState(ledger=True, cache=True, compression=True, router=True)
CACHE_UP = CacheStatus(enabled=True, backend="memory", reachable=True, hit_count=1, miss_count=2)
LIMITS = HttpLimits()
BODY_LIMITS = BodyLimits(size_bytes_max=1024 * 1024)
CONFIG = GatewayConfig()


def chunk_json(text: str) -> dict[str, Any]:
    """A chunk with some text, as OpenAI sends it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
    }


def info_of(call: ChatCall) -> CallInfo:
    """A call that succeeded at a provider."""
    return CallInfo(
        call.call_id,
        call.request.model,
        model_group="gpt",
        deployment_id="deployment-1",
        provider="openai",
        upstream_model="gpt-4o",
        cost_usd_nanos=225_000,
        input_cost_usd_nanos=25_000,
        output_cost_usd_nanos=200_000,
        prompt_tokens=10,
        completion_tokens=20,
        outcome="success",
    )


@dataclass
class ScriptedPipeline:
    """Answers as told. A script item is a text to stream, an error to raise, or an event to wait for."""

    script: Sequence[str | Exception | asyncio.Event] = ("Hi",)
    ends: bool = True
    calls: list[ChatCall] = field(default_factory=list)
    deadlines_s: list[float | None] = field(default_factory=list)
    cancelled: int = 0
    tasks: set[asyncio.Task[Any] | None] = field(default_factory=set)  # that entered or left it

    async def create(self, call: ChatCall) -> Completed:
        self._enter(call)
        try:
            for item in self.script:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, asyncio.Event):
                    await item.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Completed(response_from_json(RESPONSE), info_of(call))

    async def stream(self, call: ChatCall) -> AsyncGenerator[StreamEvent, None]:
        self._enter(call)
        info = info_of(call)
        started = False
        try:
            for item in self.script:
                if isinstance(item, Exception):
                    raise item
                if not started:
                    started = True
                    yield Started(info)
                if isinstance(item, asyncio.Event):
                    await item.wait()
                else:
                    yield Chunks([chunk_from_json(chunk_json(text)) for text in item.split("|")])
            if self.ends:
                yield Ended(info, usage_from_json(RESPONSE["usage"]), chunk_from_json(last_chunk()))
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise
        finally:
            self.tasks.add(asyncio.current_task())

    def _enter(self, call: ChatCall) -> None:
        self.calls.append(call)
        self.deadlines_s.append(remaining_s())
        self.tasks.add(asyncio.current_task())


def last_chunk() -> dict[str, Any]:
    """What names the stream in its usage chunk."""
    return {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "gpt-4o-2024-08-06"}


@dataclass
class ListedModels:
    """A catalog."""

    entries: Sequence[ModelEntry] = (ModelEntry("gpt", ("openai",), "chat"), ModelEntry("a/b", (), "chat"))
    error: MeshError | None = None

    async def models(self, principal: Principal) -> Sequence[ModelEntry]:
        if self.error is not None:
            raise self.error
        return self.entries


@dataclass
class Rim:
    """Everything a test may set before and look at after a request."""

    pipeline: ScriptedPipeline = field(default_factory=ScriptedPipeline)
    catalog: ListedModels = field(default_factory=ListedModels)
    ledger: LedgerStandIn = field(default_factory=LedgerStandIn)
    mesh: MeshState = ALL_UP
    cache: CacheStatus | MeshError = CACHE_UP
    master_key: str | None = MASTER_KEY
    limits: HttpLimits = LIMITS
    body_limits: BodyLimits = BODY_LIMITS
    config: GatewayConfig = CONFIG
    grace_s: float = 5.0
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    tasks: TaskOwner = field(default_factory=lambda: TaskOwner("rim", 1_000))
    port: int = 0

    def state(self) -> MeshState:
        """As `Readiness`."""
        return self.mesh

    async def ask(self, method: str, path: str, body: object = b"", headers: Any = BEARER) -> Answer:
        """One request on a connection of its own."""
        async with connect(self.port) as connection:
            return await connection.request(method, path, body, headers)

    async def no_tasks_left(self) -> None:
        """Fails when a task outlives its request."""
        await eventually(lambda: self.tasks.count == 0, "every task of a request ends with it")


@asynccontextmanager
async def serving(rim: Rim) -> AsyncIterator[Rim]:
    """The rim on a free port."""
    app = build_http_app(parts_of(rim))
    options = HttpServerOptions("127.0.0.1", 0, rim.grace_s, rim.limits)
    async with serve_http(app, options, SystemClock()) as address:
        rim.port = address.port
        yield rim


def parts_of(rim: Rim) -> HttpParts:
    """The rim's composition root in tests."""
    clock = SystemClock()
    numbers = itertools.count(1)
    authenticator = Authenticator(rim.master_key, open_management=True)
    metrics = CallMetrics(rim.registry, ["gpt"], clock)

    async def ping() -> CacheStatus:
        if isinstance(rim.cache, MeshError):
            raise rim.cache
        return rim.cache

    def new_id() -> str:
        return f"call-{next(numbers)}"

    calls = CallParts(
        rules=CallRules(),
        authenticator=authenticator,
        observer=metrics,
        in_flight=metrics.in_flight,
        tasks=rim.tasks,
        new_call_id=new_id,
        version="0.0.1",
        body_limits=rim.body_limits,
    )
    management = ManagementParts(
        LedgerServiceClient(rim.ledger),
        AccountServiceClient(rim.ledger),
        authenticator,
        clock,
        lambda count: bytes(range(count)),
        new_id,
        KeyRules({}, {}),
        EntityRules(),
    )
    return HttpParts(
        chat=CallEndpoint(calls, ChatHandler(rim.pipeline, ChatShape(), calls)),
        completions=CallEndpoint(calls, ChatHandler(rim.pipeline, TextShape(), calls)),
        embeddings=_no_embeddings,
        models=ModelsEndpoint(rim.catalog, authenticator),
        health=HealthEndpoint(HealthParts(rim, rim.config, clock, "0.0.1", ping)),
        management=ManagementEndpoints(management),
        cache=CacheEndpoints(CacheServiceClient(rim.ledger), authenticator),  # no test of the rim calls it
        registry=rim.registry,
        config=rim.config,
        telemetry=Telemetry(None),
        version="0.0.1",
    )


async def _no_embeddings(_scope: object, _receive: object, _send: object) -> None:
    """Tested with the whole mesh."""
    raise NotImplementedError


def deployment(model_group: str) -> Deployment:
    """A configured model."""
    return Deployment(
        id=f"id-of-{model_group}",
        model_group=model_group,
        provider="openai",
        upstream_model="gpt-4o",
        api_base=None,
        api_key=None,
        request_defaults={},
        extra_headers={},
        timeout_s=None,
        stream_timeout_s=None,
        rpm=None,
        tpm=None,
        weight=None,
        price=None,
        drop_params=False,
        mode="chat",
        model_info={},
    )
