"""The knobs of the demo provider, all of them from the environment (MESHGATE_DEMO_*).

Plain standard library: this process stands for a foreign provider and shares no code with the mesh.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

CHUNK_DELAY_S_MAX = 60.0
RECORDS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """`listen`: host:port. `models`: what GET /v1/models lists; any other name is answered as well."""

    listen: str = "127.0.0.1:4010"
    models: tuple[str, ...] = ("demo",)
    api_key: str | None = None  # None: any credential, or none, is accepted
    chunk_delay_s: float = 0.015  # about 65 tokens a second: a stream a person can see
    records_max: int = 1_000  # requests that GET /demo/requests remembers

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


def settings_from_environment(environ: Mapping[str, str] | None = None) -> DemoSettings:
    """Raises ValueError naming the variable when a value is out of range."""
    values = os.environ if environ is None else environ  # noqa: TID251 - this is the settings module
    default = DemoSettings()
    settings = DemoSettings(
        listen=values.get("MESHGATE_DEMO_LISTEN", default.listen),
        models=tuple(name for name in values.get("MESHGATE_DEMO_MODELS", "demo").split(",") if name),
        api_key=values.get("MESHGATE_DEMO_API_KEY") or None,
        chunk_delay_s=float(values.get("MESHGATE_DEMO_CHUNK_DELAY_S", default.chunk_delay_s)),
        records_max=int(values.get("MESHGATE_DEMO_RECORDS_MAX", default.records_max)),
    )
    _check(settings)
    return settings


def _check(settings: DemoSettings) -> None:
    host, _, port = settings.listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"MESHGATE_DEMO_LISTEN must be host:port, not {settings.listen!r}")
    if not 0 <= settings.chunk_delay_s <= CHUNK_DELAY_S_MAX:
        raise ValueError(f"MESHGATE_DEMO_CHUNK_DELAY_S must be 0 to {CHUNK_DELAY_S_MAX}")
    if not 1 <= settings.records_max <= RECORDS_MAX:
        raise ValueError(f"MESHGATE_DEMO_RECORDS_MAX must be 1 to {RECORDS_MAX}")
