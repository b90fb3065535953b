"""Requests of a recorded access log, in the order in which they arrived."""

from __future__ import annotations

import gzip
import statistics
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import BinaryIO

from pipeline.base.errors import ConfigError

_MINUTE = 60
_GZIP = b"\x1f\x8b"
_TYPES = frozenset({"http", "https", "h2", "grpcs", "ws", "wss"})
_CONNECTION_TYPES = frozenset({"tls", "tcp"})
_PARTS = 5
_FIELDS_BEFORE_REQUEST = 12
_HINT = "write one with `pipeline balancer log -n 1000000 > access.log`"


@dataclass
class RecordedLoad:
    """The requests that reached targets, by the minute of their arrival.

    `start` is the begin of the first minute, in seconds since 1970. `without_time` requests have no
    target_processing_time, because no target answered. They get the median of the others. `skipped` entries are not for
    a target: redirects, fixed responses, connections, and those of other target groups. `damaged` lines are no entries.
    """

    start: float = 0.0
    without_time: int = 0
    skipped: int = 0
    damaged: int = 0
    # Arrays, because a day may have ten million requests.
    _minutes: dict[int, tuple[array[float], array[float]]] = field(
        default_factory=lambda: defaultdict(lambda: (array("d"), array("d"))), repr=False
    )

    def add(self, arrival: float, service: float) -> None:
        """Add a request. `arrival` is in seconds since 1970, `service` in seconds, negative if unknown."""
        arrivals, services = self._minutes[int(arrival // _MINUTE)]
        arrivals.append(arrival)
        services.append(service)
        if service < 0:
            self.without_time += 1

    def __len__(self) -> int:
        return sum(len(arrivals) for arrivals, _ in self._minutes.values())

    def requests(self) -> Iterator[tuple[float, float]]:
        """Yield the seconds since `start` and the seconds of service of each request, by time of arrival."""
        median, start = self._median() if self.without_time else 0.0, self.start
        for _, (arrivals, services) in sorted(self._minutes.items()):
            for arrival, service in sorted(zip(arrivals, services, strict=True)):
                yield arrival - start, service if service >= 0 else median

    def finish(self) -> None:
        """Set `start`, after the last request was added."""
        self.start = float(min(self._minutes) * _MINUTE)

    def _median(self) -> float:
        known = [service for _, services in self._minutes.values() for service in services if service >= 0]
        return statistics.median(known) if known else 0.0


def read_log(paths: Iterable[Path], target_group: str | None = None) -> RecordedLoad:
    """Read logs in the form of an Application Load Balancer's access log, also compressed by gzip.

    `target_group` selects requests by the end of their target_group_arn. Raises `ConfigError` if a file cannot be read,
    if no line is a request to a target, and if there are several target groups and none is selected.
    """
    load, groups, first = RecordedLoad(), Counter[str](), ""
    for path in paths:
        with _opened(path) as lines:
            for number, raw in enumerate(lines, 1):
                if not raw.strip():
                    continue
                try:
                    _add(load, groups, raw.decode(errors="replace"), target_group)
                except ValueError as error:
                    load.damaged += 1
                    first = first or f"{path}:{number}:1: {error}"
    _check(groups, first, target_group)
    load.finish()
    return load


def _add(load: RecordedLoad, groups: Counter[str], line: str, target_group: str | None) -> None:
    # Quotes within a field are escaped, so each second part is the content of a quoted field.
    parts = line.split('"', _PARTS)
    fields = parts[0].split()
    if fields and fields[0] in _CONNECTION_TYPES:
        load.skipped += 1
        return
    if len(parts) <= _PARTS or len(fields) != _FIELDS_BEFORE_REQUEST or fields[0] not in _TYPES:
        raise ValueError("is not an entry of an Application Load Balancer's access log")
    group = parts[4].split()[2]
    if group == "-" or (target_group is not None and not _is_group(group, target_group)):
        load.skipped += 1
        return
    received, waited, response = float(fields[5]), float(fields[6]), float(fields[7])
    ended = _minute_start(fields[1][:16]) + float(fields[1][17:].removesuffix("Z"))
    if not isfinite(ended + received + waited + response):
        raise ValueError("has a time that is not finite")
    load.add(ended - max(received, 0) - max(waited, 0) - max(response, 0), waited)
    groups[group] += 1


# Parsing a whole time takes longer than the rest of the line.
@lru_cache(maxsize=1024)
def _minute_start(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@lru_cache(maxsize=1024)
def _is_group(arn: str, name: str) -> bool:
    """Match Penstock's `OWNER.NAME`, AWS's `…:targetgroup/NAME/ID`, and both in full."""
    return name in {arn, arn.rpartition(".")[2], *arn.split("/")[1:2]}


def _check(groups: Counter[str], first: str, target_group: str | None) -> None:
    if len(groups) > 1 and target_group is None:
        names = ", ".join(sorted(groups))
        raise ConfigError(f"the log has requests of several target groups: {names}", hint="choose one: --target-group")
    if groups:
        return
    if first:
        raise ConfigError(first, hint=_HINT)
    wanted = f" of {target_group}" if target_group else ""
    raise ConfigError(f"the log has no request to a target{wanted}", hint=_HINT)


@contextmanager
def _opened(path: Path) -> Iterator[Iterable[bytes]]:
    try:
        with path.open("rb") as file, _plain(file) as lines:
            yield lines
    except (OSError, EOFError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"cannot read {path}: {text}") from error


def _plain(file: BinaryIO) -> BinaryIO | gzip.GzipFile:
    is_compressed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if is_compressed else file
