"""The time zone of schedules, compared with that of libc."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.base.local_zone import local_zone

HOURS = [
    datetime(2026, month, day, hour, tzinfo=UTC) for month in range(1, 13) for day in (2, 9, 25, 28) for hour in (0, 7)
]


@pytest.fixture
def libc(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Let a test change TZ for libc too."""
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "zone",
    [
        "UTC0",
        "CET-1",
        "EST5",
        "<+0530>-5:30",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "CET-1CEST",
        "EST5EDT4,M3.2.0,M11.1.0",
        "<-03>3<-02>,M3.5.0/-2,M10.5.0/-1",
        "AEST-10AEDT,M10.1.0,M4.1.0/3",
        "NZST-12NZDT,J273/2:45,J96/3",
        ":CET-1CEST,M3.5.0,M10.5.0/3",
        "Europe/Berlin",
        "EST5EDT",
    ],
)
def test_a_zone_has_the_offsets_of_libc(zone: str, libc: pytest.MonkeyPatch) -> None:
    """TZ has a name, or rules in the form of POSIX."""
    libc.setenv("TZ", zone)
    time.tzset()
    expected = [timedelta(seconds=time.localtime(at.timestamp()).tm_gmtoff) for at in HOURS]
    assert [at.astimezone(local_zone()).utcoffset() for at in HOURS] == expected


def test_the_zone_is_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zone is that of TZ, as a name or a file, else of /etc/localtime."""
    at = datetime(2026, 7, 1, tzinfo=UTC)
    for named in ("Europe/Berlin", ":Europe/Berlin", "/usr/share/zoneinfo/Europe/Berlin"):
        if named.startswith("/") and not Path(named).exists():
            continue
        monkeypatch.setenv("TZ", named)
        assert at.astimezone(local_zone()).utcoffset() == timedelta(hours=2)
    monkeypatch.delenv("TZ")
    assert at.astimezone(local_zone()).utcoffset() == at.astimezone().utcoffset()


@pytest.mark.parametrize(
    "named",
    [
        "Nowhere/Land",
        "CET-1CEST,M3.5.0",
        "/no/such/file",
        "../../etc/passwd",
        "U0",
        "CET-1CEST,M13.5.0,M10.5.0",
        "UTC0\nx",
    ],
)
def test_an_unknown_zone_is_named(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown TZ is an error that has an example."""
    monkeypatch.setenv("TZ", named)
    with pytest.raises(ConfigError, match="Europe/Berlin"):
        local_zone()
