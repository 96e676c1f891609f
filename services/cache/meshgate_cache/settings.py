"""The cache's own knobs (MESHGATE_CACHE_*). What the cache is for is said in config.yaml."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from meshgate_chassis.settings import ServiceSettings


class CacheSettings(ServiceSettings):
    """Limits; none of them is needed to start."""

    model_config = SettingsConfigDict(env_prefix="MESHGATE_CACHE_")

    listen: str = "127.0.0.1:50052"

    lookup_timeout_s: float = Field(0.040, gt=0, le=5)  # of Redis; below the edge's limit for a lookup
    store_timeout_s: float = Field(0.5, gt=0, le=30)
    delete_timeout_s: float = Field(30.0, gt=0, le=600)
    entry_bytes_max: int = Field(1024 * 1024, ge=1_024, le=64 * 1024 * 1024)
    memory_bytes_max: int = Field(256 * 1024 * 1024, ge=1024 * 1024)
    memory_entries_max: int = Field(100_000, ge=1)

    # The sentence model: a folder with model.onnx and tokenizer.json; "hashed"; "packaged"; empty: the
    # packaged one, and to find questions the configuration's redis_semantic_cache_embedding_model, if any.
    embedding_model: str = ""
    semantic_entries_max: int = Field(100_000, ge=1, le=5_000_000)  # 0.5 kB each, and the text
    semantic_bytes_max: int = Field(512 * 1024 * 1024, ge=1024 * 1024)  # vectors and texts: here, in Redis
    warm_timeout_s: float = Field(60.0, gt=0, le=600)  # for reading what others know, before serving
