"""`python -m meshgate_demo`: serves until SIGTERM or SIGINT."""

from meshgate_demo.server import serve
from meshgate_demo.settings import settings_from_environment


def main() -> None:
    serve(settings_from_environment())


if __name__ == "__main__":
    main()
