"""The pipeline over gRPC (gateway/v1): proto <-> call, nothing else."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from meshgate_chassis.chat.json import dumps
from meshgate_chassis.chat.request_json import request_to_json
from meshgate_chassis.chat.validate import validate_request
from meshgate_chassis.errors import invalid_field
from meshgate_edge.call import (
    CacheOptions,
    CallInfo,
    CallOptions,
    ChatCall,
    Chunks,
    CompressionOptions,
    Principal,
    Started,
)
from meshgate_edge.caller_rules import members_of
from meshgate_edge.catalog_step import Catalog
from meshgate_edge.http.addresses import AllowedAddresses
from meshgate_edge.http.authentication import Authenticator
from meshgate_edge.http.call_rules import CallRules
from meshgate_edge.pipeline import Pipeline
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.gateway.v1 import gateway_service_pb2 as pb
from meshgate_protos.gateway.v1.gateway_service_mesh import GatewayServiceServicer
from meshgate_protos.rpc import Call

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")  # it becomes a header of the call to the provider


@dataclass(frozen=True, slots=True)
class GatewayRules:
    """The configuration's, as for HTTP. A caller on a unix socket has no address: the socket's own rights
    decide who that may be."""

    addresses: AllowedAddresses
    calls: CallRules
    request_bytes_max: int


class GatewayServicer(GatewayServiceServicer):
    """Authenticates by `authorization` metadata, as the HTTP API does by header."""

    def __init__(
        self,
        pipeline: Pipeline,
        catalog: Catalog,
        authenticator: Authenticator,
        new_call_id: Callable[[], str],
        rules: GatewayRules,
    ) -> None:
        self._pipeline = pipeline
        self._catalog = catalog
        self._authenticator = authenticator
        self._new_call_id = new_call_id
        self._rules = rules

    async def create_chat(self, request: pb.CreateChatRequest, call: Call) -> pb.CreateChatResponse:
        chat_call = self._chat_call(request.request_id, request.chat, request.options, call)
        completed = await self._pipeline.create(chat_call)
        return pb.CreateChatResponse(response=completed.response, info=info_message(completed.info))

    async def stream_chat(
        self, request: pb.StreamChatRequest, call: Call
    ) -> AsyncIterator[pb.StreamChatResponse]:
        chat_call = self._chat_call(request.request_id, request.chat, request.options, call)
        async with aclosing(self._pipeline.stream(chat_call)) as events:
            async for event in events:
                if isinstance(event, Chunks):
                    yield pb.StreamChatResponse(delta=pb.Delta(chunks=event.chunks))
                elif isinstance(event, Started):
                    yield pb.StreamChatResponse(started=pb.Started(info=info_message(event.info)))
                else:
                    finished = pb.Finished(usage=event.usage, info=info_message(event.info))
                    yield pb.StreamChatResponse(finished=finished)

    async def list_models(self, request: pb.ListModelsRequest, call: Call) -> pb.ListModelsResponse:
        models = await self._catalog.models(self._authenticated(call))
        return pb.ListModelsResponse(models=[pb.Model(id=model.id) for model in models])

    def _chat_call(
        self, request_id: str, chat: chat_pb.ChatRequest, options: pb.GatewayOptions, call: Call
    ) -> ChatCall:
        principal = self._authenticated(call)
        if request_id and not REQUEST_ID.fullmatch(request_id):
            raise invalid_field("request_id", "must be 1 to 64 letters, digits or any of . _ : -")
        bytes_max = self._rules.request_bytes_max
        if chat.ByteSize() > bytes_max:
            raise invalid_field("chat", f"must have at most {bytes_max} bytes")
        body = request_to_json(chat)
        dumps(body)  # a request that is no JSON could not be sent on
        validate_request(body)
        asked = options_of(options)
        self._rules.calls.check(body, asked)
        call_id = request_id or self._new_call_id()
        given = members_of(body)
        return ChatCall(call_id, principal, chat, asked, client_address=call.peer_address, members=given)

    def _authenticated(self, call: Call) -> Principal:
        if call.peer_address:
            self._rules.addresses.check(call.peer_address, call.metadata)
        return self._authenticator.authenticate(call.metadata)


def options_of(options: pb.GatewayOptions) -> CallOptions:
    """The contract's options as the pipeline's."""
    return CallOptions(
        cache=CacheOptions(
            read=not options.no_cache,
            write=not options.no_store,
            ttl_s=options.cache_ttl.ToNanoseconds() / 1e9 if options.HasField("cache_ttl") else None,
            max_age_s=options.cache_max_age.ToNanoseconds() / 1e9
            if options.HasField("cache_max_age")
            else None,
            namespace=options.cache_namespace,
        ),
        compression=CompressionOptions(
            enabled=options.compress if options.HasField("compress") else None,
            target_ratio=options.compression_target_ratio
            if options.HasField("compression_target_ratio")
            else None,
        ),
        num_retries=options.num_retries if options.HasField("num_retries") else None,
        timeout_s=options.timeout.ToNanoseconds() / 1e9 if options.HasField("timeout") else None,
        fallbacks=tuple(options.fallbacks),
        tags=tuple(options.tags),
    )


def info_message(info: CallInfo) -> pb.CallInfo:
    """What happened to a call, as the contract's message."""
    message = pb.CallInfo(
        call_id=info.call_id,
        deployment_id=info.deployment_id,
        model_group=info.model_group,
        provider=info.provider,
        cache_key=info.cache_key,
        cost_usd_nanos=info.cost_usd_nanos or 0,
        attempted_retries=info.attempted_retries,
        attempted_fallbacks=info.attempted_fallbacks,
    )
    if info.original_prompt_tokens is not None and info.compressed_prompt_tokens is not None:
        message.original_prompt_tokens = info.original_prompt_tokens
        message.compressed_prompt_tokens = info.compressed_prompt_tokens
    return message
