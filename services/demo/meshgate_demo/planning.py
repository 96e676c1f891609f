"""Question -> Reply: which choices, as text or as tool calls, cut where the caller said. Pure."""

import json
import re

from meshgate_demo import answers, tokens
from meshgate_demo.conversation import Choice, Question, Reply, Tool, ToolCall
from meshgate_demo.directives import read_directives, without_directives
from meshgate_demo.schema_values import value_for

_VERBS = {"get", "list", "search", "find", "create", "set", "make", "send", "run", "look", "lookup", "fetch"}


def plan_reply(question: Question, number: int, created_s: int, tokens_wanted: int | None = None) -> Reply:
    """`tokens_wanted`: the answer has exactly so many tokens, unless the caller's limits are lower."""
    wanted = tokens_wanted or read_directives(question.last_user_text).tokens
    tools = () if wanted is not None else _tools_to_call(question)
    choices = tuple(
        _calling(question, tools, number, index) if tools else _speaking(question, index, wanted)
        for index in range(question.choices)
    )
    return Reply(number=number, created_s=created_s, question=question, choices=choices)


def _tools_to_call(question: Question) -> tuple[Tool, ...]:
    if question.tool_results or not question.tools:
        return ()
    text = question.last_user_text.lower()
    mentioned = tuple(tool for tool in question.tools if _mentions(text, tool.name.lower()))
    if not mentioned and question.tools_forced:
        mentioned = question.tools[:1]
    return mentioned[: question.tool_calls_max]


def _mentions(text: str, name: str) -> bool:
    """The name itself, or every word of it besides a leading verb: get_weather is "weather"."""
    if name in text:
        return True
    parts = [part for part in re.split(r"[^a-z0-9]+", name) if part]
    nouns = parts[1:] if len(parts) > 1 and parts[0] in _VERBS else parts
    return bool(nouns) and set(nouns) <= set(re.findall(r"[a-z0-9]+", text))


def _calling(question: Question, tools: tuple[Tool, ...], number: int, index: int) -> Choice:
    words = without_directives(question.last_user_text)
    left = question.tokens_max
    calls = []
    for position, tool in enumerate(tools):
        arguments = value_for(tool.parameters, words) if tool.parameters.get("properties") else {}
        split = tokens.pieces(json.dumps(arguments, ensure_ascii=False))
        kept = split if left is None else split[:left]
        calls.append(ToolCall(f"call_demo_{number}_{index}_{position}", tool.name, kept))
        left = None if left is None else left - len(kept)
        if len(kept) < len(split):
            return Choice((), tuple(calls), "length")
    return Choice((), tuple(calls), "tool_calls")


def _speaking(question: Question, index: int, tokens_wanted: int | None) -> Choice:
    text = _text(question) if tokens_wanted is None else _filler(tokens_wanted)
    if index and question.schema is None:
        text = f"({index + 1}) {text}"
    text, stopped_by = _stopped(text, question.stop)
    split = tokens.pieces(_continued(text, question))
    limit = question.tokens_max
    if limit is not None and len(split) > limit:
        return Choice(split[:limit], (), "length")
    return Choice(split, (), "stop", stopped_by)


def _filler(tokens_wanted: int) -> str:
    return "".join(tokens.pieces(answers.filler(tokens_wanted * 8))[:tokens_wanted])


def _continued(text: str, question: Question) -> str:
    """What is left to say after the prefix. The same question has the same answer, whichever model is asked,
    so that a stream which broke can be compared with one that did not."""
    prefix = question.prefix
    how, _, number = read_directives(question.last_user_text).prefill.partition(":")
    if how == "restart" or not text.startswith(prefix):
        return text
    return text[max(0, len(prefix) - int(number or 0)) :]


def _text(question: Question) -> str:
    words = without_directives(question.last_user_text)
    if question.schema is not None:
        return json.dumps(value_for(question.schema, words), ensure_ascii=False)
    if question.tool_results:
        return answers.answer_with_results(words, question.tool_results)
    return answers.answer(words)


def _stopped(text: str, stop: tuple[str, ...]) -> tuple[str, str | None]:
    found = [(text.index(sequence), sequence) for sequence in stop if sequence in text]
    if not found:
        return text, None
    place, sequence = min(found)
    return text[:place], sequence
