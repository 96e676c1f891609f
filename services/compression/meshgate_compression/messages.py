"""Which parts of a conversation may be shortened, and how: the plan.

Never touched: the system prompt (unless allowed), a user's own words, tool calls, anything that is
not text, anything at or before a prompt-cache marker, the first messages when the policy says so, an
assistant's message that is last (the model is to go on with it). Roles, order and counts of messages
and parts never change.

Prefix stability. A provider's prompt cache hits only while the conversation so far keeps its bytes.
So what happens to a message depends on nothing that comes in a later turn: a turn (everything
between two assistant messages) is planned from itself and from what precedes it, and its user's own
words stay untouched for ever, not merely while they are the last question. Hence context is
shortened for the question of its own turn, a system prompt for the first question, tool results
for the last question before them, and an assistant's words for no question at all. Likewise
`min_tokens` is compared with the conversation up to the turn's end, not with the whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from meshgate_compression.context import Division, asked_of, divide, divide_system
from meshgate_compression.extractive import Section
from meshgate_compression.policy import Policy

SECTION_CHARS_MIN = 400  # Shorter texts are left alone: there is little to gain.

_USER = frozenset({"user"})
_TOOLS = frozenset({"tool", "function"})
_SYSTEM = frozenset({"system", "developer"})
_ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message. `text` None: not text. `marked`: bears a prompt-cache marker."""

    text: str | None
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its role and its parts; a plain string is one part."""

    role: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a text stands."""

    message: int
    part: int


_Turn = Sequence[tuple[int, Message]]  # Messages with their numbers.
_Divided = tuple[Place, Section, Division]


@dataclass(frozen=True, slots=True)
class Passage:
    """Texts to be shortened together, for one question ("" = none) and to one ratio."""

    places: tuple[Place, ...]
    sections: tuple[Section, ...]
    ratio: float
    question: str


def plan(messages: Sequence[Message], tokens: Sequence[int], policy: Policy) -> Iterator[Passage]:
    """The passages to shorten, in order; each text stands in at most one of them.

    `tokens`: of each message.
    """
    free_from = max(_after_last_marker(messages), Place(policy.untouched_messages, 0))
    so_far = 0
    question = ""
    for answers, run in groupby(enumerate(messages), key=lambda item: item[1].role == _ASSISTANT):
        turn = list(run)
        so_far += sum(tokens[index] for index, _ in turn)
        if answers:
            passages = list(_answers(turn, policy, index_last=len(messages) - 1))
        else:
            users = _divided(turn, policy)
            question = asked_of([d.own_words(s.text) for _, s, d in users]) or question
            passages = [*_system(turn, policy, question), *_context(turn, users, policy, question)]
        if so_far >= policy.min_tokens:
            for passage in passages:
                yield from _touchable(passage, free_from)


def _after_last_marker(messages: Sequence[Message]) -> Place:
    """The first place that no prompt-cache marker covers."""
    marked = [
        Place(index, part + 1)
        for index, message in enumerate(messages)
        for part in range(len(message.parts))
        if message.parts[part].marked
    ]
    return marked[-1] if marked else Place(0, 0)


def _touchable(passage: Passage, free_from: Place) -> Iterator[Passage]:
    """The passage without the texts that a prompt-cache marker covers."""
    free = [
        (place, section)
        for place, section in zip(passage.places, passage.sections, strict=True)
        if place >= free_from
    ]
    if free:
        places, sections = zip(*free, strict=True)
        yield replace(passage, places=places, sections=sections)


def _texts(turn: _Turn, roles: frozenset[str]) -> list[tuple[Place, str]]:
    """The texts of the turn's messages with these roles."""
    return [
        (Place(index, number), part.text)
        for index, message in turn
        if message.role in roles
        for number, part in enumerate(message.parts)
        if part.text
    ]


def _divided(turn: _Turn, policy: Policy) -> list[_Divided]:
    """The users' texts of a turn, each divided into their own words and context."""
    placed = _texts(turn, _USER)
    divisions = divide([text for _, text in placed], policy.rag)
    return [
        (place, Section(text, division.own), division)
        for (place, text), division in zip(placed, divisions, strict=True)
    ]


def _context(turn: _Turn, users: Sequence[_Divided], policy: Policy, question: str) -> Iterator[Passage]:
    """Retrieved context and tool results of a turn as one passage; other long texts as another."""
    own = [(place, section) for place, section, division in users if not division.context]
    retrieved = [(place, section) for place, section, division in users if division.retrieved]
    results = _texts(turn, _TOOLS)
    if sum(len(text) for _, text in results) >= SECTION_CHARS_MIN:
        retrieved += [(place, Section(text)) for place, text in results]
    plain = [
        (place, section) for place, section, division in users if division.context and not division.retrieved
    ]
    for found, ratio in ((retrieved, policy.rag_ratio), (plain, policy.ratio)):
        if found:
            places, sections = zip(*sorted([*found, *own], key=lambda item: item[0]), strict=True)
            yield Passage(places, sections, ratio, question)
            own = []


def _answers(turn: _Turn, policy: Policy, index_last: int) -> Iterator[Passage]:
    """What the assistant said, each message for itself."""
    for place, text in _texts(turn, frozenset({_ASSISTANT})):
        if place.message != index_last and len(text) >= SECTION_CHARS_MIN:
            yield Passage((place,), (Section(text),), policy.ratio, "")


def _system(turn: _Turn, policy: Policy, question: str) -> Iterator[Passage]:
    """System prompts, when they may be shortened: context in tags, or all but what sounds like an order."""
    if not policy.allow_system:
        return
    for place, text in _texts(turn, _SYSTEM):
        if len(text) >= SECTION_CHARS_MIN:
            division = divide_system(text)
            ratio = policy.rag_ratio if division.retrieved else policy.ratio
            yield Passage((place,), (Section(text, division.own),), ratio, question)
