"""`python -m meshgate_ledger`: serves until SIGTERM or SIGINT."""

from meshgate_chassis.run import run
from meshgate_ledger.app import ledger_service
from meshgate_ledger.settings import LedgerSettings


def main() -> int:
    return run("ledger", ledger_service, LedgerSettings)


if __name__ == "__main__":
    raise SystemExit(main())
