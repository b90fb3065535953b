"""The files that tests wrote."""

from __future__ import annotations

import tarfile
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.engine.container import Container
from stages.build.written_files import WrittenFiles

STARTED = datetime(2026, 11, 29, 7, 0, tzinfo=UTC)
CONTAINER = Container(
    *("id", "name", "exited", "image", {}, "", STARTED), process_started_at=STARTED, mounts=("/data", "/var/reports")
)


@pytest.mark.parametrize(
    ("path", "member", "age", "written"),
    [
        ("/tmp/junit.xml", "junit.xml", -60, True),
        ("/tmp/old.xml", "old.xml", 60, False),
        ("/tmp/out", "out/a.xml", 1, True),
        ("/tmp/out", "out/b.xml", 1, False),
        ("/var/reports", "reports/a.xml", 1, True),
        ("/var/reports", "reports/a.xml", -60, False),
        ("/var/run/junit.xml", "junit.xml", 1, True),
        ("/var/run/junit.xml", "junit.xml", -60, False),
    ],
    ids=["changed", "unchanged", "in a folder", "other", "volume", "volume of before", "link", "link of before"],
)
def test_written_files(path: str, member: str, age: int, written: bool) -> None:
    """The engine knows what was written, except in volumes and behind links. There the time decides."""
    changed = frozenset({"/tmp", "/tmp/junit.xml", "/tmp/out", "/tmp/out/a.xml", "/run/junit.xml"})
    info = tarfile.TarInfo(member)
    info.mtime = (STARTED + timedelta(seconds=age)).timestamp()
    assert WrittenFiles(changed, CONTAINER, path)(info) is written
