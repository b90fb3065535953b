from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.issuer import Issuer


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """An issuer whose certificate is trusted."""
    issuer = Issuer(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(issuer.authorities))
    try:
        yield issuer
    finally:
        issuer.end()
