"""The router's own values <-> router.v1 messages. Refuses what the contract's limits forbid."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from meshgate_chassis.errors import invalid_field
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_router.attempt import Served, T
from meshgate_router.catalog import PublicModel
from meshgate_router.journey import RouteTask
from meshgate_router.legs import LEGS_MAX, Leg
from meshgate_router.prompt_size import estimated_tokens, output_tokens_max
from meshgate_router.recovery import Told
from meshgate_router.stream import Continued, Delta, Event, Finished, Opened, Started

NUM_RETRIES_MAX = 10
FALLBACKS_MAX = 10


def route_task(
    request: pb.CreateChatRequest | pb.StreamChatRequest, deadline_s: float, *, stream: bool
) -> RouteTask:
    """Raises `invalid_field`."""
    options = request.options
    if not request.HasField("chat") or not request.chat.model:
        raise invalid_field("chat.model", "chat.model is required")
    return replace(
        options_task(request.chat.model, request.request_id, options, deadline_s),
        stream=stream,
        prompt_tokens=(
            options.prompt_tokens if options.HasField("prompt_tokens") else estimated_tokens(request.chat)
        ),
        output_tokens_max=output_tokens_max(request.chat),
    )


def told_of(request: pb.StreamChatRequest) -> Told | None:
    """What the client has of the answer already; None: nothing. Raises `invalid_field`."""
    if not request.HasField("told"):
        return None
    if not request.options.resume or not 0 < request.told.calls <= LEGS_MAX:
        raise invalid_field("told", f"needs options.resume, and calls of 1 to {LEGS_MAX}")
    return Told.before(request.told)


def options_task(model: str, request_id: str, options: pb.RouteOptions, deadline_s: float) -> RouteTask:
    """What every kind of request may ask of the router. Raises `invalid_field`."""
    if not 0 <= options.num_retries <= NUM_RETRIES_MAX:
        raise invalid_field("num_retries", f"num_retries must be 0 to {NUM_RETRIES_MAX}")
    if len(options.fallbacks) > FALLBACKS_MAX:
        raise invalid_field("fallbacks", f"fallbacks must be at most {FALLBACKS_MAX}")
    timeout_s = None
    if options.HasField("timeout"):
        timeout_s = options.timeout.ToNanoseconds() / 1e9
        if timeout_s <= 0:
            raise invalid_field("timeout", "timeout must be more than 0")
    return RouteTask(
        model=model,
        deadline_s=deadline_s,
        stream=False,
        num_retries=options.num_retries if options.HasField("num_retries") else None,
        timeout_s=timeout_s,
        fallbacks=tuple(options.fallbacks),
        request_id=request_id,
        tags=tuple(options.tags),
        covered=frozenset(options.covered_models) if options.covered_only else None,
        resume=options.resume,
        extra_calls=not options.no_extra_calls,
        remaining_budget_usd_nanos=(
            options.remaining_budget_usd_nanos if options.HasField("remaining_budget_usd_nanos") else None
        ),
    )


def served_by(served: Served[T], headers: Mapping[str, str], api_base: str) -> pb.ServedBy:
    """Which deployment answered, and what it took."""
    deployment = served.deployment
    return pb.ServedBy(
        deployment_id=deployment.id,
        model_group=served.group.name,
        provider=deployment.provider,
        upstream_model=deployment.upstream_model,
        api_base=api_base,
        attempted_retries=served.retries,
        attempted_fallbacks=served.journey.counts.fallbacks,
        provider_headers=headers,
        legs=[_leg(leg) for leg in served.journey.legs],
    )


def _leg(leg: Leg) -> pb.Leg:
    return pb.Leg(
        deployment_id=leg.deployment.id,
        provider=leg.deployment.provider,
        upstream_model=leg.deployment.upstream_model,
        model_group=leg.group,
        usage=leg.usage,
        estimated=not leg.whole,
        received_text="" if leg.whole else leg.received_text,
        reason=leg.reason.value,
    )


def stream_response(
    events: Sequence[Event], api_base: Callable[[Served[Opened]], str]
) -> pb.StreamChatResponse:
    """One event, or several that are there at the same time: Started, its first Delta, the last Delta and
    Finished, in this order. `api_base`: of the deployment that answers."""
    message = pb.StreamChatResponse()
    for event in events:
        if isinstance(event, Delta):
            told = message.started if message.HasField("started") else message.delta
            told.chunks.extend(event.chunks)
        elif isinstance(event, Started):
            opened = event.served.value[0]
            message.started.served_by.CopyFrom(_served_by(event.served, api_base))
            if opened.usage is not None:
                message.started.usage.CopyFrom(opened.usage)
        elif isinstance(event, Continued):
            message.continued.served_by.CopyFrom(_served_by(event.served, api_base))
        else:
            _finish(_end_of(message), event, api_base)
    return message


def _end_of(message: pb.StreamChatResponse) -> pb.Finished:
    """Where a message tells the end: beside what it has already, or as all that it has."""
    if message.HasField("started"):
        return message.started.finished
    return message.delta.finished if message.HasField("delta") else message.finished


def _finish(told: pb.Finished, event: Finished, api_base: Callable[[Served[Opened]], str]) -> None:
    told.SetInParent()
    told.finish_reason = event.finish_reason
    if event.served is not None:
        told.served_by.CopyFrom(_served_by(event.served, api_base))
    if event.usage is not None:
        told.usage.CopyFrom(event.usage)


def _served_by(served: Served[Opened], api_base: Callable[[Served[Opened]], str]) -> pb.ServedBy:
    return served_by(served, served.value[0].headers, api_base(served))


def model(public: PublicModel) -> pb.Model:
    """An entry of ListModels."""
    return pb.Model(
        id=public.id, providers=public.providers, mode=public.mode, access_groups=public.access_groups
    )
