"""The composition root: routes and the few objects behind them."""

import time

from starlette.applications import Starlette
from starlette.routing import Route

from meshgate_demo import anthropic_shape, openai_shape
from meshgate_demo.admin import Admin
from meshgate_demo.chat_endpoint import ChatEndpoint
from meshgate_demo.embeddings_endpoint import EmbeddingsEndpoint
from meshgate_demo.faults import FaultBoard
from meshgate_demo.misbehaviour import ApiShape
from meshgate_demo.records import Records
from meshgate_demo.settings import DemoSettings


def build(settings: DemoSettings) -> Starlette:
    """The whole provider as an ASGI application."""
    faults = FaultBoard()
    records = Records(settings.records_max)
    admin = Admin(settings, faults, records, time.monotonic, time.time)  # noqa: TID251 - injected here

    def chat(shape: ApiShape) -> ChatEndpoint:
        return ChatEndpoint(shape, settings, faults, records, time.monotonic, time.time)  # noqa: TID251

    embeddings = EmbeddingsEndpoint(faults, records, time.monotonic)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat(openai_shape), methods=["POST"]),
            Route("/v1/messages", chat(anthropic_shape), methods=["POST"]),
            Route("/v1/embeddings", embeddings.create, methods=["POST"]),
            Route("/v1/models", admin.models, methods=["GET"]),
            Route("/health", admin.health, methods=["GET"]),
            Route("/demo/faults", admin.show_faults, methods=["GET"]),
            Route("/demo/faults", admin.plan_faults, methods=["PUT"]),
            Route("/demo/faults", admin.clear_faults, methods=["DELETE"]),
            Route("/demo/requests", admin.show_requests, methods=["GET"]),
            Route("/demo/requests", admin.clear_requests, methods=["DELETE"]),
        ]
    )
