"""A folder to write configurations into."""

from pathlib import Path

import pytest

from tests.unit.chassis.config.loading import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty one."""
    return Folder(tmp_path)
