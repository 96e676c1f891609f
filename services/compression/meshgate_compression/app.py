"""Compression's composition root: everything is built here, and nowhere else."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog

from meshgate_chassis.config.model import CompressionConfig, Deployment
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.runtime import Runtime
from meshgate_compression.compressor import COMPRESSORS
from meshgate_compression.llmlingua import LLMLINGUA, missing_packages
from meshgate_compression.metrics import CompressionMetrics
from meshgate_compression.policy import Policy
from meshgate_compression.servicer import CompressionServicer, Defaults
from meshgate_compression.settings import CompressionSettings
from meshgate_compression.tokens import tokenizer_of
from meshgate_compression.worker import PoolLimits, WorkerPool

ALLOWED_CALLERS = frozenset({"edge"})
DEFAULT_WORKERS_MAX = 8  # About 80 MB each; more must be asked for.

log = structlog.get_logger("meshgate.compression")


@asynccontextmanager
async def compression_service(settings: CompressionSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Serves while it is open; ready when its workers are, unless only a request could want them."""
    limits = PoolLimits(
        workers=settings.workers or min(_cores(), DEFAULT_WORKERS_MAX),
        queue_max=settings.queue_max,
        job_s_max=settings.job_s_max,
        start_s_max=settings.worker_start_s_max,
    )
    defaults = _defaults(runtime.config.compression, settings)
    arguments = _worker_arguments(settings)
    # 75 MB each: where the configuration says nothing, the first request that asks for it waits for them.
    when_wanted = not arguments and runtime.config.compression == CompressionConfig()
    async with WorkerPool(limits, runtime.clock, arguments, when_wanted=when_wanted) as pool:
        server = runtime.server(settings, ALLOWED_CALLERS)
        server.add(
            CompressionServicer(
                pool,
                defaults,
                partial(_tokenizer, _tokenizers(runtime.config.deployments)),
                CompressionMetrics(runtime.registry),
                runtime.clock,
            )
        )
        log.info("compression", compressor=defaults.compressor, workers=limits.workers)
        async with server:
            yield


def _cores() -> int:
    """The cores this process may use; where the system does not say, those of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _worker_arguments(settings: CompressionSettings) -> tuple[str, ...]:
    """Where the model is, when there is one and it can be used."""
    path = settings.llmlingua_model_path
    if path is None:
        return ()
    missing = missing_packages()
    if missing:
        raise _cannot_start(
            f"MESHGATE_COMPRESSION_LLMLINGUA_MODEL_PATH needs {' and '.join(missing)}, which is not here;"
            " install meshgate-compression[llmlingua]"
        )
    if not (path / "config.json").is_file():
        raise _cannot_start(
            "MESHGATE_COMPRESSION_LLMLINGUA_MODEL_PATH: there is no model's config.json there"
        )
    return (str(path.absolute()),)


def _cannot_start(message: str) -> MeshError:
    return MeshError(Code.FAILED_PRECONDITION, "COMPRESSOR_UNKNOWN", message)


def _defaults(config: CompressionConfig, settings: CompressionSettings) -> Defaults:
    names = (*COMPRESSORS, LLMLINGUA) if settings.llmlingua_model_path else tuple(COMPRESSORS)
    if config.compressor not in names:
        raise _cannot_start(
            f"compression_settings.compressor: {config.compressor!r} is not one of {', '.join(names)}"
        )
    return Defaults(
        policy=Policy(
            ratio=config.target_ratio,
            rag_ratio=config.rag_target_ratio,
            min_tokens=config.min_tokens,
        ),
        compressor=config.compressor,
        compressors=names,
        chars_max=settings.prompt_chars_max,
    )


def _tokenizers(deployments: Sequence[Deployment]) -> Mapping[str, str]:
    """Public model name -> tokenizer; of several deployments the first counts."""
    found: dict[str, str] = {}
    for deployment in deployments:
        found.setdefault(deployment.model_group, tokenizer_of(deployment.upstream_model))
    return found


def _tokenizer(configured: Mapping[str, str], model: str) -> str:
    return configured.get(model) or tokenizer_of(model)
