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

_OPTION = re.compile(rb"([dcgsexp])(\d+)")
_HEAD = {"id": "chatcmpl-bench", "created": 1_700_000_000, "model": "bench"}
_USAGE = {"prompt_tokens": 200, "completion_tokens": 150, "total_tokens": 350}


def _whole(content: dict[str, Any], status: int = 200) -> bytes:
    body = json.dumps(content, separators=(",", ":")).encode()
    head = b"HTTP/1.1 %d Answer\r\ncontent-type: application/json\r\n" % status
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


def _answer() -> bytes:
    message = {"role": "assistant", "content": "tok " + "bbbbb " * 110}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return _whole({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE})


def _vector() -> bytes:
    numbers = [0.5, -0.25, 0.125, 0.75, -0.5, 0.25, -0.125, 0.375]
    data = [{"object": "embedding", "index": 0, "embedding": numbers}]
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    return _whole({"object": "list", "data": data, "model": "bench", "usage": usage})


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

    def __init__(self, answer: bytes, pace_us: list[int]) -> None:
        """`pace_us`: one number, shared by all connections."""
        self._answer = answer
        self._pace = pace_us
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
        options = {name: int(value) for name, value in _OPTION.findall(self._url.split(b"/")[1])}
        if self._url.endswith(b"/pace"):
            self._pace[0] = options[b"g"]
        if not self._url.endswith((b"/chat/completions", b"/embeddings")):
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            return
        if self._stream or options.get(b"d"):
            self._task = asyncio.get_running_loop().create_task(self._late(options))
        else:
            self._transport.write(self._whole_answer(options))

    def _whole_answer(self, options: dict[bytes, int]) -> bytes:
        if status := options.get(b"e"):
            return _whole({"error": {"message": "asked for by the path", "type": "server_error"}}, status)
        return _vector() if self._url.endswith(b"/embeddings") else self._answer

    async def _late(self, options: dict[bytes, int]) -> None:
        await asyncio.sleep(options.get(b"d", 0) / 1e6)
        if not self._stream or options.get(b"e"):
            self._transport.write(self._whole_answer(options))
            return
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            + _delta({"role": "assistant", "content": ""})
        )
        filler = "a" * (max(24, options.get(b"s", 24)) - 22)
        count = options.get(b"c", 50)
        for number in range(count):
            gap_us = self._pace[0] if options.get(b"p") else options.get(b"g", 0)
            if number and gap_us:
                await asyncio.sleep(gap_us / 1e6)
            if number and number == options.get(b"x"):
                self._transport.close()
                return
            self._transport.write(_delta({"content": f"tok{monotonic_ns():019d}{filler}"}))
        usage = {"prompt_tokens": 200, "completion_tokens": count, "total_tokens": 200 + count}
        self._transport.write(_delta({}, "stop") + _chunk([], usage=usage) + _frame("[DONE]") + b"0\r\n\r\n")


async def _serve(port: int) -> None:
    answer, pace_us = _answer(), [1_000_000]
    server = await asyncio.get_running_loop().create_server(
        lambda: ProviderConnection(answer, pace_us), "127.0.0.1", port
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
