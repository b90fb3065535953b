"""The programs that measurements need: finding them, and running them until a block ends."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.waiting import until

PROGRAMS = ("wrk", "nginx", "traefik", "caddy")


class ProgramMissing(Exception):
    """A program is not installed. The text is its name."""


def find_program(name: str) -> str | None:
    """Return the path of a program: beside Python, unpacked by setup/bench.sh, or installed."""
    places = (Path(sys.executable).with_name(name), ROOT / ".setup/nginx/usr/sbin" / name)
    return next((str(place) for place in places if place.exists()), None) or shutil.which(name)


def program(name: str) -> str:
    """Return the path of a program. Raises `ProgramMissing`."""
    if found := find_program(name):
        return found
    raise ProgramMissing(name)


@contextmanager
def running(folder: Path, *command: str) -> Iterator[int]:
    """Run a program until the block ends, and yield its process id.

    It gets a session of its own, as HAProxy has. Linux shares the processor out between sessions, so a program in the
    session of the load generator would be slowed down less by other work on the machine.
    """
    with (folder / "output.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(folder)},
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def await_answer(port: int, what: str, scheme: str = "http") -> None:
    """Wait until a program responds with 200."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def answers() -> bool:
        url = f"{scheme}://127.0.0.1:{port}/"
        with suppress(OSError), urllib.request.urlopen(url, timeout=5, context=context) as response:
            return bool(response.status == 200)
        return False

    until(answers, f"a response of {what}", deadline=60)
