"""`python -m meshgate_edge`: serves until SIGTERM or SIGINT."""

from meshgate_chassis.run import run
from meshgate_edge.app import edge_service
from meshgate_edge.settings import EdgeSettings


def main() -> int:
    return run("edge", edge_service, EdgeSettings)


if __name__ == "__main__":
    raise SystemExit(main())
