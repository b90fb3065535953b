"""Output of `pipeline logs --app`: the options, and the lines as text and JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from pipeline.base.errors import ConfigError
from pipeline.base.printable import escape_controls
from pipeline.cli.app import app_of
from pipeline.http.app_log import AppFollower, Entry, Wanted, read, read_tail

# Lines that are written at once.
_BATCH = 1000


def print_app_log(
    file: Path,
    parameters: Sequence[str],
    *,
    following: bool,
    as_json: bool,
    service: str | None,
    release: int | None,
    replica: str | None,
    since: str | None,
    grep: str | None,
    tail: int | None,
) -> None:
    """Print the output of the replicas of a pipeline. Following ends with Ctrl-C."""
    wanted = Wanted(service, release, _stamp(since) if since else b"", _pattern(grep) if grep else None, replica)
    with app_of(file, parameters) as app:
        batches: Iterable[Sequence[Entry]] = (
            AppFollower(app, wanted, tail).batches()
            if following
            else _batched(read(app, wanted) if tail is None else iter(read_tail(app, wanted, tail)))
        )
        with suppress(KeyboardInterrupt):
            for batch in batches:
                if batch:
                    _write(batch, as_json=as_json)


def _batched(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    while batch := list(islice(entries, _BATCH)):
        yield batch


def _write(entries: Iterable[Entry], *, as_json: bool) -> None:
    text = "".join(map(_json if as_json else _text, entries))
    # A terminal obeys what a program prints. Files and other programs get it as it is.
    sys.stdout.write(escape_controls(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _text(entry: Entry) -> str:
    short = entry.replica.name.partition(".")[2]
    return f"{entry.stamp[11:23].decode()}  {short}  {entry.text.decode(errors='replace')}\n"


def _json(entry: Entry) -> str:
    data = {
        "at": entry.stamp.decode(),
        "service": entry.replica.service,
        "release": entry.replica.release,
        "replica": entry.replica.name,
        "text": entry.text.decode(errors="replace"),
    }
    return f"{json.dumps(data)}\n"


def _stamp(since: str) -> bytes:
    from pipeline.base.quantity import parse_duration

    try:
        start = datetime.now(UTC) - parse_duration(since)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"--since: {error}") from error
    return f"{start:%Y-%m-%dT%H:%M:%S.%f}000Z".encode()


def _pattern(grep: str) -> Callable[[bytes], object]:
    try:
        return re.compile(grep.encode()).search
    except re.error as error:
        raise ConfigError(f"--grep {grep}: not a regular expression: {error}") from error
