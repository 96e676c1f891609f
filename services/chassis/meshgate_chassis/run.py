"""Runs a service: settings, logs, telemetry, then its composition root until a signal ends it.

A composition root is an async context manager: entering it starts the service, in the order it is
written; leaving it drains and stops, in the reverse order. SIGTERM or SIGINT leaves it, also while it starts;
a second signal, or the grace limit, ends the process at once.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import Any

import structlog
import uvloop
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import start_http_server

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config import ConfigError, load_config
from meshgate_chassis.errors import MeshError
from meshgate_chassis.logs import configure_logs
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.runtime import Runtime, identity_of
from meshgate_chassis.settings import ServiceSettings, Settings, environment, load_settings
from meshgate_chassis.telemetry import build_telemetry
from meshgate_chassis.telemetry_options import TelemetryOptions

CompositionRoot = Callable[[Settings, Runtime], AbstractAsyncContextManager[None]]

GRACE_EXTRA_S = 10.0  # what stopping may take beyond the drain before the process is ended
GC_THRESHOLD = 10_000  # allocations between two collections; CPython's 700 is for short scripts
EXIT_USAGE = 2
EXIT_FORCED = 70


def run(service: str, root: CompositionRoot[Settings], settings_type: type[Settings]) -> int:
    """The whole life of a service process; returns its exit code. Problems at start are one line each."""
    try:
        settings = load_settings(settings_type)
        config = load_config(settings.config_file, environment())
        configure_logs(
            service=service,
            level=settings.log_level or config.log_level,
            json=config.json_logs if settings.json_logs is None else settings.json_logs,
        )
        for problem in config.warnings:
            structlog.get_logger("meshgate.config").warning(str(problem))
        runtime = _runtime(service, settings, config)
    except (MeshError, ConfigError, OSError) as error:
        sys.stderr.write(f"meshgate-{service}: {error}\n")
        return EXIT_USAGE
    gc.freeze()  # what is loaded by now lives forever: keep the collector from walking it
    gc.set_threshold(GC_THRESHOLD)  # a call makes hundreds of objects and no cycles
    try:
        with ExitStack() as stack:
            _serve_metrics(settings, runtime, stack)
            uvloop.run(_serve(service, root, settings, runtime))
    except MeshError as error:
        sys.stderr.write(f"meshgate-{service}: {error}\n")
        return EXIT_USAGE
    finally:
        runtime.telemetry.shutdown()
    return 0


def _runtime(service: str, settings: ServiceSettings, config: Any) -> Runtime:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return Runtime(
        service=service,
        config=config,
        clock=SystemClock(),
        telemetry=build_telemetry(
            TelemetryOptions(
                service_name=settings.otel_service_name or f"meshgate-{service}",
                endpoint=settings.otlp_endpoint,
                protocol="grpc" if settings.otlp_protocol in ("grpc", "otlp_grpc") else "http/protobuf",
                headers=settings.otlp_headers,
                sample_ratio=settings.trace_sample_ratio,
                export_delay_ms=settings.trace_export_delay_ms,
            )
        ),
        registry=registry,
        rpc_metrics=RpcMetrics(registry),
        identity=identity_of(service, settings),
        rpc_transport=settings.rpc_transport,
    )


async def _serve(service: str, root: CompositionRoot[Settings], settings: Settings, runtime: Runtime) -> None:
    log = structlog.get_logger("meshgate.run")
    stopping, ready = asyncio.Event(), False
    loop, life = asyncio.get_running_loop(), asyncio.current_task()
    assert life is not None

    def on_signal(name: str) -> None:
        if stopping.is_set():
            log.warning("second signal: ending now", service=service, signal=name)
            os._exit(EXIT_FORCED)
        log.info("draining", service=service, signal=name, grace_s=settings.drain_grace_s)
        stopping.set()
        limit_s = settings.drain_delay_s + settings.drain_grace_s + GRACE_EXTRA_S
        loop.call_later(limit_s, os._exit, EXIT_FORCED)
        if not ready:
            life.cancel()  # who still waits for a store has nothing to drain

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number.name)
    try:
        async with root(settings, runtime):
            ready = True
            gc.freeze()  # and so does what the service is made of
            log.info("ready", service=service)
            await stopping.wait()
    except asyncio.CancelledError:
        if ready or not stopping.is_set():
            raise
    log.info("stopped", service=service)


def _serve_metrics(settings: ServiceSettings, runtime: Runtime, stack: ExitStack) -> None:
    if not settings.metrics_listen:
        return
    host, _, port = settings.metrics_listen.rpartition(":")
    server, thread = start_http_server(int(port), addr=host or "127.0.0.1", registry=runtime.registry)
    stack.callback(thread.join, timeout=1.0)
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
