"""The edge's composition root, its outer part: the endpoints of HTTP and gRPC around EdgeCore."""

import secrets
from functools import partial
from importlib.metadata import version

from fastapi import APIRouter

from meshgate_chassis.config.model import AccessConfig
from meshgate_chassis.runtime import Runtime
from meshgate_chassis.sealing import sealer_of
from meshgate_edge.app_core import EdgeCore, new_id
from meshgate_edge.gateway_servicer import GatewayRules, GatewayServicer
from meshgate_edge.http.addresses import AllowedAddresses
from meshgate_edge.http.app import HttpParts
from meshgate_edge.http.body import BodyLimits
from meshgate_edge.http.cache import CacheEndpoints
from meshgate_edge.http.call_endpoint import CallEndpoint, CallParts
from meshgate_edge.http.call_rules import CallRules
from meshgate_edge.http.chat import ChatHandler
from meshgate_edge.http.completions import TextShape
from meshgate_edge.http.embeddings import EmbeddingsHandler
from meshgate_edge.http.health import CacheStatus, HealthEndpoint, HealthParts
from meshgate_edge.http.models import ModelsEndpoint
from meshgate_edge.http.router_state import RouterProbe, RouterWatch
from meshgate_edge.http.shapes import ChatShape
from meshgate_edge.management.credentials import CredentialEndpoints, CredentialParts
from meshgate_edge.management.entity_rules import EntityRules
from meshgate_edge.management.key_rules import KeyRules
from meshgate_edge.management.management import Management, ManagementParts
from meshgate_edge.management.router import ManagementEndpoints
from meshgate_edge.metrics.deployments import register_deployment_metrics
from meshgate_edge.metrics.mesh import register_mesh_gauges
from meshgate_edge.readiness import MeshWatch
from meshgate_edge.reports.access import ReportAccess, ReportParts
from meshgate_edge.reports.activity import ActivityEndpoints
from meshgate_edge.reports.budget_state import BudgetStateEndpoint
from meshgate_edge.reports.global_spend import GlobalSpendEndpoints
from meshgate_edge.reports.spend import SpendEndpoints
from meshgate_edge.reports.spend_report import SpendReportEndpoint
from meshgate_edge.settings import EdgeSettings
from meshgate_protos.cache.v1 import cache_service_pb2 as cache_pb

POSTINGS_WAIT_S = 2.0  # what a report waits for answers whose posting is under way


def gateway_of(edge: EdgeCore, runtime: Runtime) -> GatewayServicer:
    access = runtime.config.access
    rules = GatewayRules(
        AllowedAddresses(access.allowed_ips, behind_proxy=access.behind_proxy),
        _call_rules(access),
        runtime.config.request_bytes_max,
    )
    return GatewayServicer(edge.pipeline, edge.catalog, edge.authenticator, new_id, rules)


def _call_rules(access: AccessConfig) -> CallRules:
    return CallRules(user_required=access.user_required, required=access.required_params)


def http_parts_of(
    edge: EdgeCore, settings: EdgeSettings, runtime: Runtime, watch: MeshWatch, deployments: RouterWatch
) -> HttpParts:
    release, access = version("meshgate-edge"), runtime.config.access
    register_mesh_gauges(runtime.registry, watch)
    register_deployment_metrics(runtime.registry, deployments.state)
    calls = CallParts(
        authenticator=edge.authenticator,
        observer=edge.observer,
        in_flight=edge.metrics.in_flight,
        tasks=edge.requests,
        new_call_id=new_id,
        version=release,
        body_limits=BodyLimits(
            size_bytes_max=runtime.config.request_bytes_max, json_type_required=edge.authenticator.open
        ),
        rules=_call_rules(access),
        request_timeout_s=settings.request_timeout_s,
    )
    made = runtime.config.entity_defaults
    management = ManagementParts(
        edge.clients.ledger,
        edge.clients.accounts,
        edge.authenticator,
        runtime.clock,
        secrets.token_bytes,
        new_id,
        KeyRules(made.key, made.key_upper_bounds, made.key_generation),
        EntityRules(made.user, made.team),
    )
    sealer = sealer_of(settings.credentials_key, secrets.token_bytes)
    credentials = CredentialParts(edge.clients.credentials, Management(management).admin, sealer, new_id)
    return HttpParts(
        chat=CallEndpoint(calls, ChatHandler(edge.pipeline, ChatShape(), calls)),
        completions=CallEndpoint(calls, ChatHandler(edge.pipeline, TextShape(), calls)),
        embeddings=CallEndpoint(calls, EmbeddingsHandler(edge.embeddings, calls)),
        models=ModelsEndpoint(edge.catalog, edge.authenticator),
        health=HealthEndpoint(_health_parts(edge, runtime, watch, deployments)),
        management=ManagementEndpoints(management),
        cache=CacheEndpoints(edge.clients.cache, edge.authenticator),
        credentials=CredentialEndpoints(credentials),
        reports=_report_routers(edge, runtime),
        registry=runtime.registry,
        config=runtime.config,
        telemetry=runtime.telemetry,
        version=release,
        caught_up=partial(edge.settlement.caught_up, POSTINGS_WAIT_S),
        metrics_guard=Management(management).known if access.metrics_need_key else None,
    )


def _health_parts(
    edge: EdgeCore, runtime: Runtime, watch: MeshWatch, deployments: RouterWatch
) -> HealthParts:
    async def ping_cache() -> CacheStatus:
        status = await edge.clients.cache.get_status(cache_pb.GetStatusRequest(), timeout_s=1.0)
        return CacheStatus(
            enabled=status.enabled,
            backend=status.backend,
            reachable=status.reachable,
            hit_count=status.hit_count,
            miss_count=status.miss_count,
        )

    return HealthParts(
        readiness=watch,
        config=runtime.config,
        clock=runtime.clock,
        version=version("meshgate-edge"),
        ping_cache=ping_cache,
        router=deployments.state,
        probe=RouterProbe(edge.clients.router),
        authenticator=edge.authenticator,
    )


def _report_routers(edge: EdgeCore, runtime: Runtime) -> tuple[APIRouter, ...]:
    clients = edge.clients
    parts = ReportParts(
        clients.reports, clients.ledger, edge.authenticator, edge.counter, runtime.clock, new_id
    )
    access = ReportAccess(parts)
    endpoints = (
        SpendEndpoints(access),
        GlobalSpendEndpoints(access),
        SpendReportEndpoint(access),
        ActivityEndpoints(access),
        BudgetStateEndpoint(access),
    )
    return tuple(each.router() for each in endpoints)
