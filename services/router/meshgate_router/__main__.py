"""`python -m meshgate_router`: serves until SIGTERM or SIGINT."""

from meshgate_chassis.run import run
from meshgate_router.app import router_service
from meshgate_router.settings import RouterSettings


def main() -> int:
    return run("router", router_service, RouterSettings)


if __name__ == "__main__":
    raise SystemExit(main())
