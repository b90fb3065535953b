"""The output of an application: of the replicas that run, of those that were removed, and of the runs of jobs."""

from __future__ import annotations

import heapq
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

from pipeline.base.errors import EngineFault
from pipeline.base.home import Home
from pipeline.base.lock import is_held
from pipeline.engine.console import STAMP_LENGTH, Console, LogStream
from pipeline.engine.container import Container
from pipeline.engine.labels import DEFAULT_SERVICE, LABEL_RELEASE, LABEL_ROLE, LABEL_SERVICE, ROLE_APP
from pipeline.store.job_logs import JobLogFollower, JobLogs
from pipeline.store.replica_logs import ReplicaLogs

# In seconds. Between two reads, output collects in the connections, which costs less than one read for each line.
READ_INTERVAL = 0.1
"""Seconds between two reads of a follower."""
_LIST_INTERVAL = 1.0
# The lines of a replica that are compared with those of another stream of it.
_OVERLAP = 4096


class HostNotes(Protocol):
    """What is told about hosts that do not answer."""

    def update(self, missing: Mapping[str, EngineFault], /) -> None:
        """Take over which hosts do not answer now."""

    def add(self, host: str, fault: EngineFault, /) -> None:
        """Take over that a host does not answer."""


class App(Protocol):
    """The application of a pipeline whose output is read."""

    @property
    def home(self) -> Home:
        """The home."""

    @property
    def pipeline(self) -> str:
        """The name of the pipeline."""

    @property
    def console(self) -> Console:
        """The console of its engines."""

    @property
    def hosts(self) -> HostNotes:
        """What is told about hosts that do not answer."""


class ReplicaName(NamedTuple):
    """A replica, as its name shows it: `shop.web.r3.4ad1f0`."""

    name: str
    service: str
    release: int

    @classmethod
    def parse(cls, name: str) -> ReplicaName:
        """Return the parts of a name. Service and release are the default if another version gave it."""
        parts = name.split(".")
        release = parts[-2].removeprefix("r") if len(parts) == 4 else ""
        return cls(name, parts[1] if release else DEFAULT_SERVICE, int(release) if release.isdecimal() else 0)


class Entry(NamedTuple):
    """One line. `stamp` is its time in UTC, and sorts like it."""

    stamp: bytes
    replica: ReplicaName
    text: bytes


@dataclass(frozen=True)
class Wanted:
    """The replicas and the lines that are wanted. None stands for all. `since` is a time as in `Entry.stamp`."""

    service: str | None = None
    release: int | None = None
    since: bytes = b""
    matches: Callable[[bytes], object] | None = None
    replica: str | None = None

    def includes(self, replica: ReplicaName) -> bool:
        """Return whether the lines of a replica are wanted."""
        is_named = self.replica in (None, replica.name)
        return is_named and self.service in (None, replica.service) and self.release in (None, replica.release)

    def entries(self, replica: ReplicaName, lines: Sequence[bytes] | Iterator[bytes]) -> Iterator[Entry]:
        """Yield those of a replica's lines that are wanted, in their order."""
        since, matches = self.since, self.matches
        for line in lines:
            stamp, text = line[:STAMP_LENGTH], line[STAMP_LENGTH + 1 :]
            if stamp >= since and (matches is None or matches(text)):
                yield Entry(stamp, replica, text)


def read(app: App, wanted: Wanted) -> Iterator[Entry]:
    """Yield the output of all replicas and of all runs of jobs until now, by its time."""
    saved = ReplicaLogs(app.home.replica_logs(app.pipeline))
    # Before the saved ones are listed, so that none is missing: a replica is saved before it is removed.
    present = {name: container for name, container in _replicas(app).items() if wanted.includes(name)}
    names = {ReplicaName.parse(name) for name in saved.names()}
    sources = [_kept(app, saved, name, found, wanted.since) for name, found in present.items()]
    parts = [wanted.entries(name, lines) for name, lines in zip(present, sources, strict=True)]
    gone = sorted(name for name in names - present.keys() if wanted.includes(name))
    parts += [wanted.entries(name, saved.read(name.name)) for name in gone]
    logs = JobLogs(app.home.job_logs(app.pipeline))
    runs = sorted(name for each in logs.names() if wanted.includes(name := ReplicaName.parse(each)))
    parts += [wanted.entries(name, logs.lines(name.name)) for name in runs]
    return heapq.merge(*parts, key=lambda entry: entry.stamp)


def read_tail(app: App, wanted: Wanted, count: int) -> list[Entry]:
    """Return the last lines of the output until now, at most `count`, by their time.

    Of what was removed, only what may belong to them is read.
    """
    if count == 0:
        return []
    saved, logs = ReplicaLogs(app.home.replica_logs(app.pipeline)), JobLogs(app.home.job_logs(app.pipeline))
    present = {name: container for name, container in _replicas(app).items() if wanted.includes(name)}
    # Lines that do not match count for the engine.
    tail = None if wanted.matches else count
    parts = [
        _last(wanted.entries(name, _kept(app, saved, name, found, wanted.since, tail)), count)
        for name, found in present.items()
    ]
    newest = _last(heapq.merge(*parts, key=_stamp_of), count)
    others: list[tuple[bytes, ReplicaName, Callable[[], Iterator[bytes]]]] = [
        (at, ReplicaName.parse(name), partial(saved.read, name))
        for name, at in saved.written_at().items()
        if ReplicaName.parse(name) not in present
    ]
    others += [(at, ReplicaName.parse(name), partial(logs.lines, name)) for name, at in logs.written_at().items()]
    for at, name, lines in sorted(others, key=lambda each: each[0], reverse=True):
        if at < wanted.since or (len(newest) == count and at < newest[0].stamp):
            break
        if wanted.includes(name):
            part = _last(wanted.entries(name, lines()), count)
            newest = _last(heapq.merge(newest, part, key=_stamp_of), count)
    return list(newest)


def _last(entries: Iterator[Entry], count: int) -> deque[Entry]:
    return deque(entries, maxlen=count)


def _stamp_of(entry: Entry) -> bytes:
    return entry.stamp


def _kept(
    app: App, saved: ReplicaLogs, name: ReplicaName, container: Container, since: bytes, tail: int | None = None
) -> Iterator[bytes]:
    if container.host:
        return _kept_on_host(app, saved, name, container, since, tail)
    stream = app.console.log(container.id, since, tail=tail)
    # It may have been removed just now.
    return stream.all() if stream else saved.read(name.name)


def _kept_on_host(
    app: App, saved: ReplicaLogs, name: ReplicaName, container: Container, since: bytes, tail: int | None
) -> Iterator[bytes]:
    """Yield the lines of a replica as long as its host answers."""
    try:
        stream = app.console.log(container.id, since, tail=tail)
        yield from stream.all() if stream else saved.read(name.name)
    except EngineFault as fault:
        app.hosts.add(container.host, fault)


def _replicas(app: App) -> dict[ReplicaName, Container]:
    found = [each for each in app.console.containers(app.pipeline) if each.labels.get(LABEL_ROLE) == ROLE_APP]
    app.hosts.update(app.console.missing)
    return {_name(each): each for each in found}


def _name(container: Container) -> ReplicaName:
    labels = container.labels
    return ReplicaName(container.name, labels.get(LABEL_SERVICE, DEFAULT_SERVICE), int(labels.get(LABEL_RELEASE) or 0))


@dataclass
class _Source:
    """A replica that is followed. `stream` is None while its process does not run, or after its removal.

    `host` is the name of its host in a cluster of several.
    """

    host: str = ""
    state: str = ""
    stream: LogStream | None = None
    recent: deque[bytes] = field(default_factory=lambda: deque(maxlen=_OVERLAP))
    repeated: Counter[bytes] = field(default_factory=Counter)

    def unread(self, lines: Sequence[bytes]) -> list[bytes]:
        """Return those of the lines that no earlier stream has brought, and remember them."""
        if self.repeated:
            fresh = []
            for line in lines:
                if self.repeated[line] > 0:
                    self.repeated[line] -= 1
                else:
                    fresh.append(line)
            lines = fresh
        self.recent.extend(lines)
        return list(lines)

    def reopen(self) -> bytes:
        """Return the time from which a new stream has to begin. It repeats lines, which `unread` leaves out."""
        self.repeated = Counter(self.recent)
        return self.recent[0][:STAMP_LENGTH] if self.recent else b""


class AppFollower:
    """Follows the replicas that exist, and those that are started later, until each has written its last line.

    The runs of jobs as well. With `tail`, it begins with at most so many lines of each replica that exists. One thread
    uses it.
    """

    def __init__(self, app: App, wanted: Wanted, tail: int | None = None) -> None:
        self._app = app
        self._wanted = wanted
        # Lines that do not match count for the engine.
        self._tail = None if wanted.matches else tail
        self._listed = -_LIST_INTERVAL
        self._saved = ReplicaLogs(app.home.replica_logs(app.pipeline))
        self._sources: dict[ReplicaName, _Source] = {}
        self._known = {ReplicaName.parse(name) for name in self._saved.names()}
        logs = JobLogs(app.home.job_logs(app.pipeline))
        self._runs = JobLogFollower(logs, lambda name: is_held(app.home.lock(name)))

    def batches(self) -> Iterator[list[Entry]]:
        """Yield the new lines, by their time, as long as the caller wants."""
        while True:
            yield self.poll()
            time.sleep(READ_INTERVAL)

    def poll(self) -> list[Entry]:
        """Return the lines that have arrived since the last call, by their time, without waiting for more."""
        parts: dict[ReplicaName, list[bytes]] = {}
        if time.monotonic() - self._listed >= _LIST_INTERVAL:
            self._listed = time.monotonic()
            parts = self._list()
            # Replicas that are started from now on are read from their first line on.
            self._tail = None
        for name, source in self._sources.items():
            parts[name] = [*parts.get(name, ()), *self._arrived(source)]
        runs = {ReplicaName.parse(name): lines for name, lines in self._runs.arrived().items()}
        parts |= {name: lines for name, lines in runs.items() if self._wanted.includes(name)}
        entries = [self._wanted.entries(name, lines) for name, lines in parts.items() if lines]
        return list(heapq.merge(*entries, key=_stamp_of))

    def close(self) -> None:
        """Close the streams. The console is the caller's."""
        for source in self._sources.values():
            if source.stream is not None:
                source.stream.close()
                source.stream = None

    def _list(self) -> dict[ReplicaName, list[bytes]]:
        """Follow what runs now, and return the last lines of what was removed."""
        present = {name: found for name, found in _replicas(self._app).items() if self._wanted.includes(name)}
        for name, container in present.items():
            source = self._sources.setdefault(name, _Source(container.host))
            # One whose process has ended is read once more, since a stream may end without the last line.
            ended = not container.is_running and source.state == container.state
            source.state = container.state if source.stream is None else ""
            if source.stream is None and not ended:
                self._open(source, container)
        # Listed after the containers, so that a replica that is in neither list has yet to start.
        saved = {ReplicaName.parse(name) for name in self._saved.names()}
        # What a host that does not answer has is read on when it is back.
        away = {name for name, source in self._sources.items() if source.host in self._app.console.missing}
        over = {name: self._sources.pop(name) for name in [*self._sources] if name not in present.keys() | away}
        # Those that came and went between two lists.
        unseen = [
            name for name in saved - self._known - over.keys() - present.keys() - away if self._wanted.includes(name)
        ]
        self._known |= saved
        return {name: self._rest(name, source) for name, source in (over | dict.fromkeys(unseen)).items()}

    def _open(self, source: _Source, container: Container) -> None:
        since = source.reopen() or self._wanted.since
        try:
            source.stream = self._app.console.log(container.id, since, follow=True, tail=self._tail)
        except EngineFault as fault:
            if not source.host:
                raise
            self._app.hosts.add(source.host, fault)

    def _arrived(self, source: _Source) -> list[bytes]:
        try:
            lines = source.stream.arrived() if source.stream else []
        except EngineFault:
            if not source.host:
                raise
            # The next list tells whether the host answers.
            lines = None
        if lines is None:
            assert source.stream is not None
            source.stream.close()
            source.stream = None
        return source.unread(lines or ())

    def _rest(self, name: ReplicaName, source: _Source | None) -> list[bytes]:
        """Return the lines of a removed replica that its stream has not brought yet."""
        source = source or _Source()
        lines = self._arrived(source)
        if source.stream is not None:
            source.stream.close()
        since = source.reopen()
        return [*lines, *source.unread([line for line in self._saved.read(name.name) if line[:STAMP_LENGTH] >= since])]
