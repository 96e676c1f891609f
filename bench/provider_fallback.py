"""provider.c in Python, for a machine without a C compiler: the same paths and the same answers, dearer.

python -m bench.provider_fallback PORT
"""

import asyncio
import json
import re
import sys
from time import monotonic_ns
from typing import Any

import httptools
import uvloop

_OPTION = re.compile(rb"([dcgs])(\d+)")
_HEAD = {"id": "chatcmpl-bench", "created": 1_700_000_000, "model": "bench"}
_USAGE = {"prompt_tokens": 200, "completion_tokens": 150, "total_tokens": 350}


def _answer() -> bytes:
    message = {"role": "assistant", "content": "tok " + "bbbbb " * 110}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = json.dumps(
        {**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE}, separators=(",", ":")
    ).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    return head + body


def _frame(event: str) -> bytes:
    data = f"data: {event}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def _chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
    event = {**_HEAD, "object": "chat.completion.chunk", "choices": choices, **more}
    return _frame(json.dumps(event, separators=(",", ":")))


def _delta(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    return _chunk([{"index": 0, "delta": delta, "finish_reason": finish_reason}])


class ProviderConnection(asyncio.Protocol):
    """One client; it asks one thing at a time."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._transport: Any = None
        self._url = b""
        self._stream = False
        self._tail = b""
        self._task: asyncio.Task[None] | None = None
        self._parser: Any = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url, self._stream, self._tail = url, False, b""

    def on_body(self, body: bytes) -> None:
        text = self._tail + body
        self._stream = self._stream or b'"stream":true' in text or b'"stream": true' in text
        self._tail = text[-20:]

    def on_message_complete(self) -> None:
        if not self._url.endswith(b"/chat/completions"):
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            return
        options = {name: int(value) for name, value in _OPTION.findall(self._url.split(b"/")[1])}
        if self._stream or options.get(b"d"):
            self._task = asyncio.get_running_loop().create_task(self._late(options))
        else:
            self._transport.write(self._answer)

    async def _late(self, options: dict[bytes, int]) -> None:
        await asyncio.sleep(options.get(b"d", 0) / 1e6)
        if not self._stream:
            self._transport.write(self._answer)
            return
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            + _delta({"role": "assistant", "content": ""})
        )
        filler = "a" * (max(24, options.get(b"s", 24)) - 22)
        count = options.get(b"c", 50)
        for number in range(count):
            if number and options.get(b"g"):
                await asyncio.sleep(options[b"g"] / 1e6)
            self._transport.write(_delta({"content": f"tok{monotonic_ns():019d}{filler}"}))
        usage = {"prompt_tokens": 200, "completion_tokens": count, "total_tokens": 200 + count}
        self._transport.write(_delta({}, "stop") + _chunk([], usage=usage) + _frame("[DONE]") + b"0\r\n\r\n")


async def _serve(port: int) -> None:
    answer = _answer()
    server = await asyncio.get_running_loop().create_server(
        lambda: ProviderConnection(answer), "127.0.0.1", port
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
