"""`python -m meshgate_cache`: serves until SIGTERM or SIGINT."""

from meshgate_cache.app import cache_service
from meshgate_cache.settings import CacheSettings
from meshgate_chassis.run import run


def main() -> int:
    return run("cache", cache_service, CacheSettings)


if __name__ == "__main__":
    raise SystemExit(main())
