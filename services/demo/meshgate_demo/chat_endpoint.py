"""One chat endpoint, of either API shape: read, plan, misbehave if told so, deliver, record."""

import hmac
import json
from collections.abc import Callable, Mapping

from starlette.types import Receive, Scope, Send

from meshgate_demo.conversation import InvalidRequestError, JsonObject, Question
from meshgate_demo.delivery import Delivery
from meshgate_demo.directives import read_directives
from meshgate_demo.faults import Fault, FaultBoard, FaultKind, parse_fault
from meshgate_demo.misbehaviour import ApiShape, Pace, refuse, send_json, send_stream
from meshgate_demo.planning import plan_reply
from meshgate_demo.records import Records, ServedRequest, shown_body
from meshgate_demo.settings import DemoSettings

REQUEST_BYTES_MAX = 32 * 1024 * 1024


class ChatEndpoint:
    """POST /v1/chat/completions or POST /v1/messages, as an ASGI application."""

    def __init__(
        self,
        shape: ApiShape,
        settings: DemoSettings,
        faults: FaultBoard,
        records: Records,
        monotonic_s: Callable[[], float],
        unix_s: Callable[[], float],
    ) -> None:
        self._shape = shape
        self._settings = settings
        self._faults = faults
        self._records = records
        self._monotonic_s = monotonic_s
        self._unix_s = unix_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = self._records.open(scope["path"], scope["headers"], self._monotonic_s())
        raw = await _read_body(receive)
        if raw is None:
            record.outcome = "disconnected"
            return
        delivery = Delivery(scope, receive, send, record, self._monotonic_s)
        await delivery.run(self._serve(delivery, raw, record))

    async def _serve(self, delivery: Delivery, raw: bytes, record: ServedRequest) -> None:
        try:
            if not self._key_is_right(delivery.headers):
                await self._answer_error(delivery, 401, "Incorrect API key provided.")
                return
            body = _parse(raw)
            record.body = shown_body(raw, body)
            question = self._shape.question_of(body)
            record.model, record.stream = question.model, question.stream
            fault = self._fault(question, delivery.headers)
            directives = read_directives(question.last_user_text)
        except InvalidRequestError as problem:
            await self._answer_error(delivery, 400, str(problem), problem.parameter)
            return
        record.fault = fault.name if fault else None
        if fault and await refuse(delivery, self._shape, fault):
            return
        await self._answer(
            delivery,
            question,
            fault,
            Pace(
                first_s=directives.first_s,
                between_s=self._settings.chunk_delay_s if directives.delay_s is None else directives.delay_s,
            ),
        )

    async def _answer(self, delivery: Delivery, question: Question, fault: Fault | None, pace: Pace) -> None:
        huge = fault is not None and fault.kind is FaultKind.HUGE_ANSWER
        record = delivery.record
        reply = plan_reply(
            question,
            number=record.number,
            created_s=int(self._unix_s()),
            tokens_wanted=int(fault.argument) if fault is not None and huge else None,
        )
        record.prompt_tokens = question.prompt_tokens
        record.completion_tokens = reply.completion_tokens
        if question.stream:
            pace = Pace(pace.first_s, 0.0) if huge else pace
            await send_stream(delivery, self._shape, self._shape.events_of(reply), pace, fault)
        else:
            await send_json(delivery, self._shape, reply, pace.first_s, fault)

    def _fault(self, question: Question, headers: Mapping[str, str]) -> Fault | None:
        """A request's own fault comes before the planned ones and does not use them up."""
        asked = headers.get("x-demo-fault") or read_directives(question.last_user_text).fail
        if asked:
            fault = parse_fault(asked)
            return fault if fault.concerns(question.model) else None
        return self._faults.take(question.model)

    def _key_is_right(self, headers: Mapping[str, str]) -> bool:
        if self._settings.api_key is None:
            return True
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), self._settings.api_key.encode())

    async def _answer_error(
        self, delivery: Delivery, status: int, message: str, parameter: str | None = None
    ) -> None:
        body = self._shape.error_body(status, message, delivery.record.number, parameter)
        await delivery.answer(status, json.dumps(body).encode())


async def _read_body(receive: Receive) -> bytes | None:
    """None: the caller left first, or sent more than the limit."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > REQUEST_BYTES_MAX:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _parse(raw: bytes) -> JsonObject:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise InvalidRequestError("the body is not JSON") from None
    if not isinstance(body, dict):
        raise InvalidRequestError("the body must be a JSON object")
    return body
