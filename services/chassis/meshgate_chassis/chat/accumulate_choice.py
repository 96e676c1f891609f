"""Folds the deltas of one choice of a stream; see `accumulate`."""

from typing import Any

from meshgate_chassis.chat.json import JsonObject, loads_object
from meshgate_chassis.chat.merge import extend, joined, merge
from meshgate_chassis.chat.shape import merged
from meshgate_protos.chat.v1 import chat_pb2 as pb


class ChoiceAccumulator:
    """Add each delta in order; `body` gives the choice as JSON, without its index."""

    def __init__(self) -> None:
        self._finish_reason = ""
        self._extra: JsonObject = {}
        self._extra_json_last = b""  # says nothing new when it comes again
        self._role = ""
        self._texts: dict[str, list[str]] = {}
        self._parts: list[Any] = []  # Content as parts, once a fragment of it was a list.
        self._calls: list[_CallAccumulator] = []
        self._call_by_index: dict[int, _CallAccumulator] = {}
        self._message_extra: JsonObject = {}

    def add(self, choice: pb.ChoiceDelta) -> None:
        """Keeps what the delta adds."""
        if choice.finish_reason:
            self._finish_reason = choice.finish_reason
        extra_json = choice.extra_json
        if extra_json and extra_json != self._extra_json_last:
            extra = loads_object(extra_json)
            self._extra_json_last = extra_json if extra.get("logprobs") is None else b""
            self._add_extra(extra)
        delta = choice.delta
        if delta.role and not self._role:
            self._role = delta.role
        if delta.HasField("content"):
            self.add_text(delta.content)
        if delta.HasField("reasoning_content"):
            self._add_text("reasoning_content", delta.reasoning_content)
        if delta.HasField("refusal"):
            self._add_text("refusal", delta.refusal)
        for fragment in delta.tool_calls:
            self._call_of(fragment).add(fragment)
        if delta.extra_json:
            self._add_message_extra(loads_object(delta.extra_json))

    def add_text(self, text: str) -> None:
        """A piece of content."""
        if self._parts:
            if text:
                extend(self._parts, [{"type": "text", "text": text}])
        else:
            self._add_text("content", text)

    def body(self) -> JsonObject:
        """The choice so far, as OpenAI's JSON object. `finish_reason` is null until one came."""
        message: JsonObject = {"role": self._role or "assistant", "content": None}
        message |= {name: "".join(pieces) for name, pieces in self._texts.items()}
        if self._parts:
            message["content"] = joined(self._parts)
        if self._calls:
            # Stable: calls that a provider gave one index keep their order.
            calls = sorted(self._calls, key=lambda call: call.index)
            message["tool_calls"] = [call.body() for call in calls]
        body = {
            "message": merged(message, joined(self._message_extra)),
            "finish_reason": self._finish_reason or None,
        }
        return merged(body, joined(self._extra))

    def _add_text(self, name: str, text: str) -> None:
        self._texts.setdefault(name, []).append(text)

    def _add_extra(self, extra: JsonObject) -> None:
        for name, value in extra.items():
            held = self._extra.get(name)
            if name == "logprobs":
                self._extra[name] = merge(held, value)
            elif held is None or value is not None:
                self._extra[name] = value

    def _add_message_extra(self, extra: JsonObject) -> None:
        if type(extra.get("content")) is list:
            parts = extra.pop("content")
            if not self._parts and (text := "".join(self._texts.pop("content", ()))):
                self._parts.append({"type": "text", "text": text})
            extend(self._parts, parts)
        merge(self._message_extra, extra)

    def _call_of(self, fragment: pb.ToolCallDelta) -> "_CallAccumulator":
        """The call a fragment belongs to.

        Some providers leave the index out, and some give every call index 0 but an id and a name
        of its own: both begin a new call.
        """
        begins = bool(fragment.id and fragment.function.name)
        if fragment.HasField("index"):
            index = fragment.index
            call = self._call_by_index.get(index)
            if call is not None and not (begins and call.id not in ("", fragment.id)):
                return call
        elif self._calls and not (fragment.id or fragment.function.name):
            return self._calls[-1]
        else:
            index = max(self._call_by_index, default=-1) + 1
        call = self._call_by_index[index] = _CallAccumulator(index)
        self._calls.append(call)
        return call


class _CallAccumulator:
    """One tool call: labels from the first fragment that has them, arguments joined."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self._labels: JsonObject = {}
        self._function_labels: JsonObject = {}
        self._has_function = False
        self._arguments: list[str] | None = None
        self._extra: JsonObject = {}
        self._function_extra: JsonObject = {}

    def add(self, fragment: pb.ToolCallDelta) -> None:
        self.id = self.id or fragment.id
        for name in ("id", "type"):
            _keep_first(self._labels, name, fragment)
        if fragment.extra_json:
            merge(self._extra, loads_object(fragment.extra_json))
        if not fragment.HasField("function"):
            return
        self._has_function = True
        function = fragment.function
        _keep_first(self._function_labels, "name", function)
        if function.HasField("arguments"):
            self._arguments = self._arguments or []
            self._arguments.append(function.arguments)
        if function.extra_json:
            merge(self._function_extra, loads_object(function.extra_json))

    def body(self) -> JsonObject:
        body = dict(self._labels)
        if self._has_function:
            function = dict(self._function_labels)
            if self._arguments is not None:
                function["arguments"] = "".join(self._arguments)
            body["function"] = merged(function, joined(self._function_extra))
        return merged(body, joined(self._extra))


def _keep_first(labels: JsonObject, name: str, message: Any) -> None:
    """Sets the label when the message has the field and no earlier one said anything."""
    if not labels.get(name) and message.HasField(name):
        labels[name] = getattr(message, name)
