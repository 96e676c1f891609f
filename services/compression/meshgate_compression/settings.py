"""Compression's own knobs (MESHGATE_COMPRESSION_*). What is compressed, and how far, is in config.yaml."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from meshgate_chassis.settings import ServiceSettings


class CompressionSettings(ServiceSettings):
    """Limits; none of them is needed to start."""

    model_config = SettingsConfigDict(env_prefix="MESHGATE_COMPRESSION_")

    listen: str = "127.0.0.1:50053"

    workers: int = Field(0, ge=0, le=256)  # processes; 0: one for each core, at most 8
    queue_max: int = Field(64, ge=1, le=100_000)  # prompts that wait; more are refused at once
    job_s_max: float = Field(5.0, gt=0, le=600)  # a worker that takes longer is replaced
    worker_start_s_max: float = Field(60.0, gt=0, le=3_600)  # loading a model included
    llmlingua_model_path: Path | None = (
        None  # a folder with an LLMLingua-2 model; needs the extra [llmlingua]
    )
    prompt_chars_max: int = Field(1_000_000, ge=1_000, le=100_000_000)
