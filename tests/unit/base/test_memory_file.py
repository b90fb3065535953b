"""Files in memory."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pipeline.base.memory_file import memory_file


def test_other_programs_read_and_write_it(tmp_path: Path) -> None:
    """Also those that their own children start. Afterwards it is gone."""
    with memory_file(b"one") as path:
        subprocess.run(["sh", "-c", f"(cat {path} > {tmp_path}/read; printf ' two' >> {path})"], check=True)
        assert (tmp_path / "read").read_bytes() == b"one"
        assert path.read_bytes() == b"one two"
    assert not path.exists()
