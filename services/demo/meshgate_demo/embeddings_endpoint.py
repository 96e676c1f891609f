"""POST /v1/embeddings: vectors made of a text's hash: equal texts have equal vectors.

Those of models called *-words are made of its words: texts that share words are near each other.
"""

import asyncio
import hashlib
import json
import re
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from meshgate_demo.faults import FaultBoard, FaultKind
from meshgate_demo.records import Records, shown_body
from meshgate_demo.tokens import count as count_tokens

DIMENSIONS = 8
DIMENSIONS_MAX = 64
WORD_DIMENSIONS = 256


class EmbeddingsEndpoint:
    """Counts words as tokens, as the chat endpoints do. Of the faults it knows those that are a status, and
    slow_drip: the answer comes so many seconds later."""

    def __init__(self, faults: FaultBoard, records: Records, monotonic_s: Callable[[], float]) -> None:
        self._faults = faults
        self._records = records
        self._monotonic_s = monotonic_s

    async def create(self, request: Request) -> Response:
        record = self._records.open(request.url.path, request.headers.raw, self._monotonic_s())
        raw = await request.body()
        body = json.loads(raw)
        record.body, record.model = shown_body(raw, body), body.get("model")
        fault = self._faults.take(str(body.get("model")))
        if fault is not None and fault.status is not None:
            record.fault, record.status, record.outcome = fault.name, fault.status, "faulted"
            error = {"error": {"message": "planned", "type": "server_error", "code": None, "param": None}}
            return Response(json.dumps(error), record.status, media_type="application/json")
        if fault is not None and fault.kind is FaultKind.SLOW_DRIP:
            record.fault = fault.name
            await asyncio.sleep(fault.argument)
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        if inputs and isinstance(inputs[0], int):
            inputs = [inputs]
        tokens = sum(count_tokens(each) if isinstance(each, str) else len(each) for each in inputs)
        record.prompt_tokens, record.status, record.outcome = tokens, 200, "complete"
        data = [
            {"object": "embedding", "index": index, "embedding": _written(_vector(each, body), body)}
            for index, each in enumerate(inputs)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        answer = {"object": "list", "data": data, "model": body["model"], "usage": usage}
        return Response(json.dumps(answer), media_type="application/json")


def _vector(text: Any, body: dict[str, Any]) -> Sequence[float]:
    if str(body["model"]).endswith("-words"):
        return _words(str(text), int(body.get("dimensions") or WORD_DIMENSIONS))
    count = min(int(body.get("dimensions") or DIMENSIONS), DIMENSIONS_MAX)
    digest = hashlib.shake_256(json.dumps(text).encode()).digest(count * 2)
    return [value / 65_536 - 0.5 for value in struct.unpack(f"<{count}H", digest)]


def _words(text: str, count: int) -> Sequence[float]:
    vector = [0.0] * count
    for word in re.findall(r"\w+", text.lower()):
        vector[zlib.crc32(word.encode()) % count] += 1.0
    return vector


def _written(vector: Sequence[float], body: dict[str, Any]) -> Any:
    if body.get("encoding_format") == "base64":
        return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return list(vector)
