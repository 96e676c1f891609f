"""`python -m meshgate_compression`: serves until SIGTERM or SIGINT."""

from meshgate_chassis.run import run
from meshgate_compression.app import compression_service
from meshgate_compression.settings import CompressionSettings


def main() -> int:
    return run("compression", compression_service, CompressionSettings)


if __name__ == "__main__":
    raise SystemExit(main())
