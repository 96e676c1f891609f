"""An answer that broke off, as bill and router have to know it when another call goes on with it. Pure."""

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_edge.call_run import CallRun
from meshgate_edge.money.bill import STREAM_BROKEN, sent_before
from meshgate_edge.tokens.counter import TokenCounter
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.router.v1 import router_service_pb2 as pb


def broken_leg(run: CallRun) -> pb.Leg:
    """The call that is under way, as a leg: what it sent is what came after the calls before it."""
    info, before = run.info, sum(len(leg.received_text) for leg in _broken(run))
    return pb.Leg(
        deployment_id=info.deployment_id,
        provider=info.provider,
        upstream_model=info.upstream_model,
        model_group=info.model_group,
        usage=run.first_usage,
        estimated=True,
        received_text=_text(_answer(run))[before:],
        reason=STREAM_BROKEN,
    )


def told(run: CallRun, counter: TokenCounter) -> pb.Told:
    """What the client has of the answer."""
    answer = _answer(run)
    return pb.Told(
        id=answer.id,
        created=answer.created,
        model=answer.model,
        text=_text(answer),
        output_tokens=sent_before(run, counter, run.family),
        calls=len(_broken(run)),
    )


def _broken(run: CallRun) -> list[pb.Leg]:
    return [leg for leg in run.legs if leg.reason == STREAM_BROKEN]


def _answer(run: CallRun) -> chat_pb.ChatResponse:
    return (run.chunks or ChunkAccumulator()).response()


def _text(answer: chat_pb.ChatResponse) -> str:
    return answer.choices[0].message.text if answer.choices else ""
