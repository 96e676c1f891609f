"""10,000 random cases of each kind against a whole cache: what differs in more than words shares no answer.

Each stored answer says to whom, after what and with which parameters it was given; so a hit tells whether it
was right. Half of the lookups ask in other words, so that both ways to hit are tried.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from meshgate_cache.semantic.model import packaged_files
from meshgate_chassis.config.model import CacheConfig, Secret
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from tests.unit.cache.subject import Start, Subject, answer

pytestmark = pytest.mark.skipif(packaged_files() is None, reason="needs the packaged model")

CASES = {"memory": 1_000, "redis": 10_000}
STORED = 40
CALLERS = 16
STORED_AS = "What is its capital?"
ASKED_AS = (STORED_AS, "what's its capital")
WORDS = ("France", "Spain", "Peru", "Mali", "", "0", "é")
ROLES = ("user", "assistant", "system")


@dataclass(frozen=True)
class Case:
    """Everything but the last words."""

    tenant: str = "a"
    history: tuple[tuple[str, str], ...] = ()
    members: dict[str, object] = field(default_factory=dict)

    def chat(self, last: str) -> chat_pb.ChatRequest:
        messages = [chat_pb.Message(role=role, text=text) for role, text in (*self.history, ("user", last))]
        return chat_pb.ChatRequest(**{"model": "m", **self.members}, messages=messages)

    @property
    def name(self) -> str:
        """Equal iff all of it is."""
        return f"{self.tenant} {self.chat(STORED_AS).SerializeToString(deterministic=True).hex()}"


def other_history(chance: random.Random) -> Case:
    """One to three messages before, of few words: neighbours differ in one of them, or in a role."""
    messages = range(chance.randint(1, 3))
    return Case(history=tuple((chance.choice(ROLES), chance.choice(WORDS)) for _ in messages))


def other_tenant(chance: random.Random) -> Case:
    """Names that begin alike."""
    return Case(tenant="".join(chance.choices("ab:/", k=chance.randint(1, 5))))


def other_parameters(chance: random.Random) -> Case:
    """Any of those that a request has, and some of providers."""
    choices: dict[str, tuple[object, ...]] = {
        "model": ("m", "m2"),
        "temperature": (0.0, 0.5, 1.0),
        "top_p": (0.5, 1.0),
        "max_tokens": (5, 6),
        "max_completion_tokens": (5, 6),
        "n": (1, 2),
        "seed": (1, 2),
        "reasoning_effort": ("low", "high"),
        "user": ("u", "v"),
        "parallel_tool_calls": (False, True),
        "response_format_json": (b'{"type":"text"}', b'{"type":"json_object"}'),
        "extra_json": (b'{"top_k":1}', b'{"top_k":2}', b'{"logit_bias":{"1":1}}'),
        "stop": (chat_pb.Stop(sequences=["."]), chat_pb.Stop(sequences=[".", ","])),
        "tools": tuple([chat_pb.Tool(function=chat_pb.FunctionTool(name=name))] for name in "fg"),
    }
    names = chance.sample(sorted(choices), chance.randint(1, 4))
    return Case(members={name: chance.choice(choices[name]) for name in names})


async def keep(subject: Subject, case: Case) -> None:
    """As the edge does after a miss."""
    missed = await subject.look_up(case.chat(STORED_AS), case.tenant)
    entry = pb.Entry(response=answer(case.name), deployment_id="d1")
    request = pb.StoreEntryRequest(
        tenant_id=case.tenant, cache_key=missed.cache_key, entry=entry, question=missed.question
    )
    assert (await subject.client.store_entry(request, timeout_s=10.0)).stored


@pytest.fixture(params=CASES)
async def semantic(request: pytest.FixtureRequest, start_cache: Start) -> tuple[Subject, int]:
    """A cache that compares meanings, and the number of cases to try on it."""
    backend = request.param
    config = CacheConfig(enabled=True, semantic=True)
    if backend == "redis":
        url = Secret(request.getfixturevalue("redis_url"))
        config = CacheConfig(enabled=True, semantic=True, type="redis", redis_url=url, ttl_s=600)
    return await start_cache(config, lookup_timeout_s=5.0, store_timeout_s=5.0), CASES[backend]


@pytest.mark.parametrize("make", [other_history, other_tenant, other_parameters])
async def test_only_equal_cases_share_an_answer(
    semantic: tuple[Subject, int], make: Callable[[random.Random], Case]
) -> None:
    """And these do, in equal and in other words."""
    subject, count = semantic
    chance = random.Random(7)
    kept = {case.name: case for case in (make(chance) for _ in range(STORED))}
    for case in kept.values():
        await keep(subject, case)
    hits = dict.fromkeys(ASKED_AS, 0)

    async def ask(cases: list[tuple[Case, str]]) -> None:
        for case, text in cases:
            found = await subject.look_up(case.chat(text), case.tenant)
            if case.name in kept:
                hits[text] += 1
                assert case.name == found.entry.response.choices[0].message.text
            else:
                assert not found.HasField("entry"), (case, text)

    cases = [(make(chance), chance.choice(ASKED_AS)) for _ in range(count)]
    await asyncio.gather(*(ask(cases[start::CALLERS]) for start in range(CALLERS)))

    assert min(hits.values()) > 0
    assert sum(hits.values()) < count / 2
