"""The file with the last change of the kernel's table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.balancer.kernel import imprint
from pipeline.balancer.kernel.imprint import Imprint

OTHER_SCOPE = json.dumps({"scope": "x", "generation": 7, "digest": ""})


def test_a_shorter_content_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    """What was written last is what is read, and the file is only for its owner."""
    path = tmp_path / "imprint"
    for generation in (4_000_000_000, 7):
        written = Imprint(imprint.scope(), generation, "ab" * 16)
        imprint.write(path, written)
        assert imprint.read(path) == written
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"generation": 7}', json.dumps({"scope": "x", "generation": 7, "digest": ""})]
)
def test_a_file_that_tells_nothing(tmp_path: Path, content: str) -> None:
    """A file that is damaged, or of another boot or network namespace, is as good as none."""
    (tmp_path / "imprint").write_text(content)
    assert imprint.read(tmp_path / "imprint") is None


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """Without the folder, nothing is written and nothing fails."""
    imprint.write(tmp_path / "missing" / "imprint", Imprint(imprint.scope(), 7, ""))
    assert imprint.read(tmp_path / "missing" / "imprint") is None
