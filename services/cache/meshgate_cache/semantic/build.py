"""Puts the semantic cache together: the model, what is known, and how replicas hear of each other."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from meshgate_cache.redis_commands import RedisCommands
from meshgate_cache.semantic.directory import Directory
from meshgate_cache.semantic.embedding import Embedding, EmbeddingLimits
from meshgate_cache.semantic.hashed_model import HashedModel
from meshgate_cache.semantic.journal import Journal, JournalRules, LocalJournal, RedisJournal
from meshgate_cache.semantic.memory import give_back_freed_memory
from meshgate_cache.semantic.model import EmbeddingModel, files_in, load_onnx_model, packaged_files
from meshgate_cache.semantic.score import NEVER, Threshold
from meshgate_cache.semantic.semantic_cache import SemanticCache, SemanticParts
from meshgate_cache.semantic.vectors import LocalVectors, RoutedVectors, VectorSource
from meshgate_cache.store import Store
from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import CacheConfig
from meshgate_chassis.tasks import TaskOwner

log = structlog.get_logger("meshgate.cache.semantic")

PACKAGED = "packaged"
CALIBRATED_FROM = 0.7  # cosine, by the packaged model, of the pairs that thresholds were calibrated on


@dataclass(frozen=True, slots=True)
class SemanticSettings:
    """`model`: a folder, "hashed", "packaged", or empty: the configuration's for finding, the packaged one
    for the score. `routed_version`: of the configuration's, see RoutedVectors. `stream`: name in Redis."""

    model: str
    routed_version: str
    entries_max: int
    bytes_max: int
    stream: str
    warm_s: float


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Of the cache that it is part of. `redis` None: nobody else is told what is learned."""

    store: Store
    redis: RedisCommands | None
    clock: Clock


async def build_semantic(
    config: CacheConfig, settings: SemanticSettings, around: Surroundings, stack: AsyncExitStack
) -> SemanticCache:
    """Warm when it returns, as far as Redis tells. What it starts ends with the stack."""
    give_back_freed_memory()
    model = await asyncio.to_thread(_model, settings.model)
    embedding = Embedding(model, EmbeddingLimits())
    stack.callback(embedding.close)
    vectors: VectorSource = LocalVectors(embedding)
    if config.embedding_model and not settings.model:
        vectors = RoutedVectors(around.store, config.embedding_model, settings.routed_version, around.clock)
    directory = Directory(vectors.space, settings.entries_max, settings.bytes_max)
    journal = await _journal(settings, around, directory, stack)
    threshold = Threshold(config.max_false_hit_rate)
    log.info(
        "semantic cache",
        model=vectors.space.name,
        score_model=model.name,
        questions=len(directory),
        similarity_threshold=config.similarity_threshold,
        score_threshold=threshold.value,
    )
    if threshold.value >= NEVER:
        log.warning(
            "max_false_hit_rate is stricter than what was calibrated: only equal questions hit",
            max_false_hit_rate=config.max_false_hit_rate,
        )
    local_min = config.similarity_threshold if isinstance(model, HashedModel) else CALIBRATED_FROM
    parts = SemanticParts(embedding, vectors, local_min, directory, journal, threshold)
    return SemanticCache(parts, config.similarity_threshold, around.clock)


def _model(chosen: str) -> EmbeddingModel:
    """Loading blocks. Raises FAILED_PRECONDITION for a folder without a model."""
    if chosen == "hashed":
        return HashedModel()
    files = files_in(Path(chosen)) if chosen not in ("", PACKAGED) else packaged_files()
    if files is None:
        log.warning("the packaged model is not installed: texts are compared by their words only")
        return HashedModel()
    return load_onnx_model(files)


async def _journal(
    settings: SemanticSettings, around: Surroundings, directory: Directory, stack: AsyncExitStack
) -> Journal:
    if around.redis is None:
        return LocalJournal(directory.apply)
    rules = JournalRules(
        settings.stream, settings.entries_max, bytes_max=settings.bytes_max, warm_s=settings.warm_s
    )
    journal = RedisJournal(around.redis, rules, directory.apply, around.clock)
    await journal.warm_up()
    follower = TaskOwner("journal", 1)
    follower.start(journal.follow(), "follow")
    stack.push_async_callback(follower.drain, 0.0)
    return journal
