"""`meshgate ledger verify`: the exit code, the totals, and the name of every difference."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import asyncpg
import pytest

from meshgate_cli.__main__ import main
from meshgate_cli.embedded_postgres import EmbeddedPostgres
from meshgate_cli.state_folder import StateFolder
from meshgate_ledger.migrate import migrate
from tests.support.postgres import postgres_dsn, postgres_server

__all__ = ["postgres_dsn", "postgres_server"]

DAMAGE = "UPDATE ledger.accounts SET posted_nanos = 5 WHERE account_id = 'master'"


def execute(dsn: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(run())


def test_books_that_balance(postgres_dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    """0, with totals."""
    assert 0 == main(["ledger", "verify", "--database-url", postgres_dsn])
    told = capsys.readouterr().out
    assert "posted                0.0 USD\n" in told
    assert told.endswith("the books balance\n")


def test_books_that_do_not(
    postgres_dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """1, and what, where and how much. DATABASE_URL is used as a service would."""
    execute(postgres_dsn, DAMAGE)
    monkeypatch.setenv("DATABASE_URL", postgres_dsn)
    assert 1 == main(["ledger", "verify"])
    told = capsys.readouterr().out
    assert "difference: posted is not the sum of the entries: master: 0 expected, 5 found\n" in told
    assert told.endswith("differences: 1\n")


def test_no_ledger_and_no_database(
    postgres_server: object, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A person is told what is missing."""
    empty = postgres_server.new_database(migrated=False)  # type: ignore[attr-defined]
    assert 1 == main(["ledger", "verify", "--database-url", empty])
    assert "has no ledger of this version" in capsys.readouterr().out
    assert 1 == main(["ledger", "verify", "--database-url", f"postgresql:///x?host={tmp_path}"])
    assert "does not answer" in capsys.readouterr().out


def test_the_embedded_database(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a mesh on this machine: while it runs, and when it does not."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    folder = Path(tempfile.mkdtemp(prefix="mg-"))
    folder.chmod(0o755)
    monkeypatch.chdir(folder)
    server = EmbeddedPostgres(StateFolder(folder).postgres_home, durable=False)
    try:
        assert 1 == main(["ledger", "verify", "--state-dir", str(folder)])
        assert "there is no database" in capsys.readouterr().out
        dsn = server.start()

        async def prepare() -> None:
            connection = await asyncpg.connect(dsn)
            await migrate(connection)
            await connection.close()

        asyncio.run(prepare())
        assert 0 == main(["ledger", "verify", "--state-dir", str(folder)])
        server.stop()
        assert 0 == main(["ledger", "verify", "--state-dir", str(folder)])
        assert server.running_dsn() is None
    finally:
        server.stop()
        shutil.rmtree(folder)
