"""Puts the semantic cache together: the model, what is known, and how replicas hear of each other."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog
from redis.asyncio import Redis

from meshgate_cache.semantic.directory import Directory
from meshgate_cache.semantic.embedding import Embedding, EmbeddingLimits
from meshgate_cache.semantic.hashed_model import HashedModel
from meshgate_cache.semantic.journal import Journal, JournalRules, LocalJournal, RedisJournal
from meshgate_cache.semantic.memory import give_back_freed_memory
from meshgate_cache.semantic.model import EmbeddingModel, files_in, load_onnx_model, packaged_files
from meshgate_cache.semantic.score import Threshold
from meshgate_cache.semantic.semantic_cache import SemanticCache, SemanticParts
from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import CacheConfig
from meshgate_chassis.tasks import TaskOwner

log = structlog.get_logger("meshgate.cache.semantic")

EMBEDDING_TASKS_MAX = 2  # the one that runs, and its successor while it ends


@dataclass(frozen=True, slots=True)
class SemanticSettings:
    """`model`: a folder, "hashed", or empty for the packaged one. `stream`: name in Redis."""

    model: str
    entries_max: int
    stream: str
    warm_s: float


async def build_semantic(
    config: CacheConfig, settings: SemanticSettings, redis: Redis | None, clock: Clock, stack: AsyncExitStack
) -> SemanticCache:
    """Warm when it returns, as far as Redis tells. What it starts ends with the stack."""
    give_back_freed_memory()
    model = await asyncio.to_thread(_model, settings.model)
    tasks = TaskOwner("embedding", EMBEDDING_TASKS_MAX)
    embedding = Embedding(model, EmbeddingLimits(), tasks)
    stack.callback(embedding.close)
    stack.push_async_callback(tasks.drain, 0.0)
    directory = Directory(model.name, model.dimensions, settings.entries_max)
    journal = await _journal(settings, redis, directory, clock, stack)
    threshold = Threshold(config.max_false_hit_rate)
    log.info(
        "semantic cache",
        model=model.name,
        questions=len(directory),
        similarity_threshold=config.similarity_threshold,
        score_threshold=threshold.value,
    )
    parts = SemanticParts(embedding, directory, journal, threshold)
    return SemanticCache(parts, config.similarity_threshold, clock)


def _model(chosen: str) -> EmbeddingModel:
    """Loading blocks. Raises FAILED_PRECONDITION for a folder without a model."""
    if chosen == "hashed":
        return HashedModel()
    files = files_in(Path(chosen)) if chosen else packaged_files()
    if files is None:
        log.warning("the packaged model is not installed: texts are compared by their words only")
        return HashedModel()
    return load_onnx_model(files)


async def _journal(
    settings: SemanticSettings,
    redis: Redis | None,
    directory: Directory,
    clock: Clock,
    stack: AsyncExitStack,
) -> Journal:
    if redis is None:
        return LocalJournal(directory.apply)
    rules = JournalRules(settings.stream, settings.entries_max, warm_s=settings.warm_s)
    journal = RedisJournal(redis, rules, directory.apply, clock)
    await journal.warm_up()
    follower = TaskOwner("journal", 1)
    follower.start(journal.follow(), "follow")
    stack.push_async_callback(follower.drain, 0.0)
    return journal
