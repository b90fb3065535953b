"""The command line, with every side effect recorded: `side_effects.py RECORD POINT COMMAND …`.

A side effect is a call that changes something outside the process: a folder, the database, what a socket leads to, or
another process. Each gets a name without ids and numbers, so that it is the same in the next run. RECORD gets one name
a line.

POINT is `none`, or `before NAME*N` or `after NAME*N`: the process kills itself by SIGKILL there, at the N-th of that
name. `after` a request to a socket means that it was sent and that no response was read.
"""

from __future__ import annotations

import builtins
import io
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

_DIED = signal.SIGKILL
# What only reads: git commands, questions to HAProxy and to Docker.
_READING_GIT = {
    "archive", "cat-file", "config", "diff", "diff-tree", "for-each-ref", "log", "ls-remote", "ls-tree", "merge-base",
    "rev-list", "rev-parse", "show", "show-ref", "status", "var", "version",
}  # fmt: skip
_READING = re.compile(rb"(GET|HEAD|show|_getsocks|@!\d+ show)\b")
_HTTP = re.compile(rb"(POST|PUT|DELETE|PATCH) (?:/v[\d.]+)?([^ ?]+)")
# Names of containers, ids, process ids and random names of temporary folders.
_IDS = re.compile(r"(?<![a-z0-9])(?=[a-f]*\d)[0-9a-f]{6,64}(?![a-z0-9])")
_UUIDS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAMES = re.compile(r"\.r\d+\.[0-9a-f]{6}|\.test\d+\.[0-9a-f]{6}|(?<=draft\.)\w+|(?<![a-z])\d+")
_TEMPORARY = Path(os.environ["TMPDIR"]).parts
_WRITTEN = re.compile(
    r"\s*(INSERT(?: OR \w+)? INTO|UPDATE(?: OR \w+)?|DELETE FROM|CREATE \w+|PRAGMA user_version)\s*(\w*)"
)


class Passage:
    """Counts side effects, records their names, and kills the process at one point."""

    def __init__(self, record: str, point: str) -> None:
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._when, _, rest = point.partition(" ")
        self._name, _, times = rest.rpartition("*")
        self._number = int(times or 0)
        self._passed: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._kill = os.kill

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        """Make a call that is a side effect."""
        with self._lock:
            self._passed[name] += 1
            number = self._passed[name]
            os.write(self._record, f"{name}\n".encode())
        here = name == self._name and number == self._number
        if here and self._when == "before":
            self._kill(os.getpid(), _DIED)
        result = call()
        if here and self._when == "after":
            self._kill(os.getpid(), _DIED)
        return result


def plain(name: object) -> str:
    """Return a path or an address without ids and numbers."""
    text = os.fsdecode(name) if isinstance(name, (str, bytes)) else str(name)
    return _NAMES.sub("N", _IDS.sub("ID", _UUIDS.sub("ID", text)))


def file_name(path: Any, *_: Any, **__: Any) -> str:
    """Return the name of a file and of its folder."""
    if isinstance(path, int):
        path = Path(f"/proc/self/fd/{path}").readlink()
    parts = Path(os.fsdecode(path)).parts
    # Names in the folder of temporary files are random.
    if parts[: len(_TEMPORARY)] == _TEMPORARY and not parts[-1].startswith("draft."):
        return "a temporary file"
    return plain("/".join(parts[-2:]))


def replace(owner: Any, name: str, describe: Callable[..., str | None], passage: Passage) -> None:
    """Replace a function by one that passes. `describe` returns None for a call that changes nothing."""
    original = getattr(owner, name)

    @wraps(original)
    def passing(*arguments: Any, **named: Any) -> Any:
        what = describe(*arguments, **named)
        call = lambda: original(*arguments, **named)  # noqa: E731
        return call() if what is None else passage.around(what, call)

    setattr(owner, name, passing)


def changes_of_paths(passage: Passage) -> None:
    """Pass on the changes of folders and files."""

    def where(verb: str, needed: Callable[[Any], bool]) -> Callable[..., str | None]:
        # A relative path in a folder that is given by its descriptor exists.
        return lambda path, *_, **named: f"{verb} {file_name(path)}" if named.get("dir_fd") or needed(path) else None

    def moving(source: Any, target: Any, **_: Any) -> str:
        return f"rename {file_name(target)}"

    def opening(path: Any, flags: int, *_: Any, **__: Any) -> str | None:
        creates = flags & os.O_TRUNC or (flags & os.O_CREAT and not Path(path).exists())
        return f"create {file_name(path)}" if creates else None

    def opened(file: Any, mode: str = "r", *_: Any, **__: Any) -> str | None:
        return f"write {file_name(file)}" if not isinstance(file, int) and set(mode) & set("wax") else None

    for name in ("rename", "replace"):
        replace(os, name, moving, passage)
    for name in ("unlink", "remove", "rmdir"):
        replace(os, name, where("remove", os.path.lexists), passage)
    replace(os, "mkdir", where("mkdir", lambda path: not Path(path).exists()), passage)
    for name in ("chmod", "fsync", "truncate"):
        replace(os, name, where(name, lambda _: True), passage)
    replace(os, "open", opening, passage)
    replace(io, "open", opened, passage)
    builtins.open = io.open


def changes_of_logs(passage: Passage) -> None:
    """Pass on the lines of logs."""

    class RecordedFile(io.FileIO):
        def write(self, content: Any) -> Any:
            return passage.around(f"append {file_name(self.name)}", lambda: super(RecordedFile, self).write(content))

    io.FileIO = RecordedFile  # type: ignore[misc]


def changes_of_databases(passage: Passage) -> None:
    """Pass on the commits of databases."""

    class RecordedConnection(sqlite3.Connection):
        tables: str = ""

        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if sql == "COMMIT":
                what, self.tables = f"commit{self.tables}", ""
                return passage.around(what, lambda: super(RecordedConnection, self).execute(sql))
            if found := _WRITTEN.match(sql):
                part = f" {found[1].split()[0].lower()} {found[2]}"
                self.tables += part if part not in self.tables else ""
            return super().execute(sql, *arguments)

    connect = sqlite3.connect
    sqlite3.connect = lambda *a, **n: connect(*a, **{"factory": RecordedConnection, **n})  # type: ignore[assignment]


def changes_at_sockets(passage: Passage) -> None:
    """Pass on what is sent to Docker, HAProxy and other programs."""

    def sending(self: socket.socket, content: Any, *_: Any) -> str | None:
        data = bytes(content)
        if _READING.match(data):
            return None
        peer = self.getpeername()
        # HAProxy binds its sockets under a temporary name.
        place = re.sub(r"\.\d+\.tmp$", "", Path(peer).name) if isinstance(peer, str) else "tcp"
        if found := _HTTP.match(data):
            return f"{place} {found[1].decode()} {plain(found[2])}"
        if place == "docker.sock":
            return f"{place} body"
        return f"{place} {' '.join(plain(data.split(b';')[0]).split()[:2])}"

    replace(socket.socket, "sendall", sending, passage)


def changes_of_processes(passage: Passage) -> None:
    """Pass on starts of processes and signals."""

    def starting(_: Any, command: Any, *__: Any, **___: Any) -> str | None:
        words = [plain(Path(word).name if word.startswith("/") else word) for word in command if "=" not in word]
        if words[0] == "git":
            verb = next(word for word in words[1:] if not word.startswith("-"))
            return None if verb in _READING_GIT else f"start git {verb}"
        return f"start {' '.join([words[0], *(w for w in words[1:] if len(w) < 20)][:4])}"

    replace(subprocess.Popen, "__init__", starting, passage)
    replace(os, "posix_spawn", lambda path, *_, **__: f"spawn {Path(path).name}", passage)
    for name in ("kill", "killpg"):
        replace(os, name, lambda _, number: f"signal {signal.Signals(number).name}" if number else None, passage)


def record(passage: Passage) -> None:
    """Replace the functions of Python's library that have side effects."""
    changes_of_paths(passage)
    changes_of_logs(passage)
    changes_of_databases(passage)
    changes_at_sockets(passage)
    changes_of_processes(passage)


if __name__ == "__main__":
    # Python's own compiled files are no side effects of the product.
    sys.dont_write_bytecode = True
    record(Passage(sys.argv.pop(1), sys.argv.pop(1)))
    from pipeline.cli.main import main

    main()
