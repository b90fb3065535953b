"""The program that a hook runs on this machine."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import Cancelled, StageFailed
from stages.deploy import host_command
from stages.deploy.host_command import HostCommand
from tests.support.waiting import DEADLINE, until

LONG = timedelta(seconds=DEADLINE)
# Prints a line when it is ready, and then sleeps.
SLEEPER = "import time; print('ready', flush=True); time.sleep(1000)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER


@dataclass
class Run:
    """One run of a program, and what it printed."""

    lines: list[str] = field(default_factory=list)

    def python(
        self,
        code: str,
        *,
        timeout: timedelta = LONG,
        grace: timedelta = LONG,
        cancelled: threading.Event | None = None,
        directory: Path = Path("/"),
    ) -> None:
        """Run a program of Python."""
        self.run((sys.executable, "-c", code), directory, timeout, grace, cancelled)

    def run(
        self,
        command: tuple[str, ...],
        directory: Path = Path("/"),
        timeout: timedelta = LONG,
        grace: timedelta = LONG,
        cancelled: threading.Event | None = None,
    ) -> None:
        """Run a program."""
        made = HostCommand("the hook", command, directory, {"A": "b", "PATH": os.environ["PATH"]}, self.lines.append)
        made.run(timeout, grace, cancelled or threading.Event())


def test_a_program_runs_in_its_folder_with_its_variables(tmp_path: Path) -> None:
    """It has no others. Its output and its errors are lines, also one without an end and one that is not UTF-8."""
    run = Run()
    run.python(
        "import os, sys; print(os.getcwd(), os.environ['A'], 'HOME' in os.environ, sys.stdin.read() == '', flush=True);"
        "os.write(2, b'an error\\r\\n'); os.write(1, b'\\xff end')",
        directory=tmp_path,
    )
    assert run.lines == [f"{tmp_path} b False True", "an error", "\ufffd end"]


def test_much_output_is_passed_on() -> None:
    """Every line arrives, in its order, and a line without an end is cut."""
    run = Run()
    run.python("print(*range(50000), sep='\\n'); print('x' * 300000)")
    assert run.lines[:50000] == [str(number) for number in range(50000)]
    assert "".join(run.lines[50000:]) == "x" * 300000
    assert len(run.lines) > 50001


def test_a_program_that_fails() -> None:
    """The error has the exit code and the last 20 lines."""
    with pytest.raises(StageFailed, match=r"^the hook failed with exit code 3$") as error:
        Run().python("print(*range(30), sep='\\n'); raise SystemExit(3)")
    assert error.value.tail == tuple(str(number) for number in range(10, 30))


def test_a_program_that_is_killed() -> None:
    """The error has the signal."""
    with pytest.raises(StageFailed, match=r"^the hook was killed by SIGKILL$"):
        Run().python("import os; os.kill(os.getpid(), 9)")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("./missing",), "No such file or directory"),
        (("/etc",), "Permission denied"),
        (("./script",), "Exec format error"),
    ],
)
def test_a_program_that_cannot_be_started(command: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    """The error says why, and the hint names the folder."""
    script = tmp_path / "script"
    script.write_text("no interpreter")
    script.chmod(0o755)
    with pytest.raises(StageFailed) as error:
        Run().run(command, tmp_path)
    assert error.value.message == f"the hook cannot be started: {reason}"
    assert error.value.hint == f"it is started in {tmp_path}, the folder of pipeline.yaml"


def test_a_program_that_takes_too_long_is_stopped() -> None:
    """It gets SIGTERM, which it may handle."""
    run = Run()
    handler = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit('bye')); "
    with pytest.raises(StageFailed, match=r"^the hook was still running after 1s: stopped$") as error:
        run.python(handler + SLEEPER, timeout=timedelta(seconds=1))
    assert error.value.tail == tuple(run.lines)


def test_a_program_that_ignores_sigterm_is_killed() -> None:
    """After its grace."""
    with pytest.raises(StageFailed, match=r"^the hook was still running after 500ms: stopped$"):
        Run().python(STUBBORN, timeout=timedelta(milliseconds=500), grace=timedelta(milliseconds=100))


def test_what_a_stopped_program_has_started_is_killed(tmp_path: Path) -> None:
    """A child that ignores SIGTERM does not survive it."""
    child = tmp_path / "child"
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])\n"
        f"open({str(child)!r} + '.new', 'w').write(str(child.pid))\n"
        f"import os; os.rename({str(child)!r} + '.new', {str(child)!r})\n"
        "time.sleep(1000)\n"
    )
    run, cancelled, failures = Run(), threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            run.python(code, cancelled=cancelled)
        except Cancelled as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    # The child ignores SIGTERM from its first line on.
    until(lambda: "ready" in run.lines and child.exists(), "the child is ready")
    cancelled.set()
    thread.join(DEADLINE)
    assert [str(each) for each in failures] == ["cancelled"]
    until(lambda: not is_alive(int(child.read_text())), "the child is gone")


def test_a_process_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    """A program that has exited has ended its hook, although its child holds the output open."""
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}])\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\n"
        "print('done')\n"
    )
    run = Run()
    run.python(code)
    child = int((tmp_path / "child").read_text())
    assert "done" in run.lines
    assert is_alive(child)
    os.kill(child, 9)


def test_a_process_in_the_background_that_writes_without_end(tmp_path: Path) -> None:
    """What it writes after its program has exited is left, and the hook ends."""
    line = "y" * 999
    child_code = f"while True: print({line!r})"
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child_code!r}])\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\n"
    )
    run = Run()
    thread = threading.Thread(target=run.python, args=(code,), daemon=True)
    thread.start()
    thread.join(DEADLINE)
    try:
        assert not thread.is_alive()
    finally:
        os.kill(int((tmp_path / "child").read_text()), 9)


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_program_that_may_not_be_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of another user, such as one that `sudo` starts, is no fault of Penstock."""

    def refuse(_group: int, _signal: int) -> None:
        raise PermissionError

    run = Run()
    monkeypatch.setattr(host_command, "KILL_SECONDS", 0.1)
    monkeypatch.setattr(os, "killpg", refuse)
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(1000)"
    with pytest.raises(StageFailed, match="the hook was still running after 2s and cannot be stopped"):
        run.python(code, timeout=timedelta(seconds=2), grace=timedelta(milliseconds=100))
    os.kill(int(run.lines[0]), 9)


def test_a_program_that_closes_its_output_is_waited_for() -> None:
    """It ends when it exits, and its exit code counts."""
    with pytest.raises(StageFailed, match="exit code 4"):
        Run().python("import os, time; os.close(1); os.close(2); time.sleep(0.3); os._exit(4)")


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
