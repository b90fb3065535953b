"""A client of EC2 in a new home."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.network.ec2 import Ec2


@pytest.fixture
def ec2(tmp_path: Path) -> Ec2:
    """A client with the default zones."""
    return Ec2(tmp_path / "aws")
