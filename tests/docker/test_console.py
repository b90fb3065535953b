"""`pipeline exec` and `pipeline run-once`: input, output, exit codes, terminals, and what is left afterwards."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress

from pipeline.engine.labels import ROLE_CONSOLE
from tests.docker.project import Project, until
from tests.support.waiting import COMMAND_TIMEOUT


def with_input(project: Project, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `pipeline ARGUMENTS` with an input, in another directory than that of the project."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", *arguments],
        cwd="/",
        env={**project.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Terminal:
    """A command that has a terminal of its own."""

    def __init__(self, project: Project, *arguments: str) -> None:
        self.output = ""
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            os.chdir(project.directory)
            os.execve(
                sys.executable,
                [sys.executable, "-m", "pipeline.cli.main", *arguments],
                {**project.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        os.set_blocking(self._file, False)

    def shows(self, text: str) -> None:
        """Wait until the terminal shows a text."""
        until(lambda: text in self._read(), f"{text!r} in the terminal")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._file, keys.encode())

    def exit_code(self) -> int:
        """Wait for the end of the command."""

        def ended() -> tuple[int, int] | None:
            self._read()
            found = os.waitpid(self.pid, os.WNOHANG)
            return found if found[0] else None

        code = os.waitstatus_to_exitcode(until(ended, "the end of the command")[1])
        os.close(self._file)
        return code

    def _read(self) -> str:
        # There is nothing to read, or the command has ended.
        with suppress(OSError):
            self.output += os.read(self._file, 65536).decode(errors="replace")
        return self.output


def test_exec(service: Project) -> None:
    """A command has the container's environment, and this one's input, output, exit code and terminal."""
    done = with_input(service, "one\ntwo\n", "exec", "-p", "shop", "--", "sh", "-c", "cat; echo wrong >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("one\ntwo\n", "wrong\n", 7)
    # More than any buffer holds, in both directions at the same time.
    text = "".join(f"{number}\n" for number in range(400_000))
    assert with_input(service, text, "exec", "-p", "shop", "web", "--", "cat").stdout == text

    terminal = Terminal(service, "exec")
    terminal.type("stty size; tty\n")
    terminal.shows("/dev/pts/")
    # A shell that reads its next command handles a signal only after that. So it is one that runs a command.
    terminal.type('sh -c \'trap "exit 9" INT; echo rea""dy; while :; do sleep 0.1; done\'; echo code=$?\n')
    # Ctrl-C drops what the terminal's program has not read yet.
    terminal.shows("ready")
    terminal.type("\x03")
    terminal.shows("code=9")
    terminal.type("exit 3\n")
    assert terminal.exit_code() == 3

    refused = service.pipeline("exec", "worker", "--", "true", code=2)
    assert "no replica is of service worker" in refused.err
    (name, *_) = sorted(each.name for each in service.containers())
    assert service.pipeline("exec", "--replica", name.rpartition(".")[2], "--", "hostname").out
    assert "has no replica nobody" in service.pipeline("exec", "--replica", "nobody", "--", "true", code=2).err
    missing = service.pipeline("exec", "--", "no-such-program", code=None)
    assert missing.code in (126, 127)


def test_run_once(service: Project) -> None:
    """A new container is like a replica but without its port, and is gone after the command."""
    replicas = {each.name: each.address for each in service.containers()}
    script = "hostname -i; pwd; id -u; echo $VERSION; exit 9"
    done = with_input(service, "", "run-once", "-p", "shop", "--entrypoint", "", "--", "sh", "-c", script)
    assert done.returncode == 9, done.stderr
    address, folder, *_ = done.stdout.split()
    assert address not in replicas.values()
    assert folder == with_input(service, "", "exec", "-p", "shop", "--", "pwd").stdout.strip()
    assert service.containers(ROLE_CONSOLE) == []
    assert {each.name: each.address for each in service.containers()} == replicas

    running = service.start("run-once", "--", "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done")
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    running.send_signal(signal.SIGTERM)
    service.finish(running, code=5)

    terminal = Terminal(service, "run-once", "--", "sh")
    terminal.type("tty; exit 4\n")
    assert terminal.exit_code() == 4
    assert "/dev/" in terminal.output
    refused = service.pipeline("run-once", "--", "no-such-program", code=1)
    assert "no-such-program" in refused.err
    assert service.containers(ROLE_CONSOLE) == []
    assert list(service.home.locks.glob("*.once.*")) == []


def test_a_killed_command(service: Project) -> None:
    """After SIGKILL, the container of a command that reads no input is removed by the next repair."""
    running = service.start("run-once", "--", "sh", "-c", "echo ready; sleep 600")
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    service.pipeline("recover")
    assert len(service.containers(ROLE_CONSOLE)) == 1, "it is in use"
    running.kill()
    running.communicate(timeout=COMMAND_TIMEOUT)
    service.pipeline("recover")
    assert service.containers(ROLE_CONSOLE) == []

    running = service.start("run-once", "--", "sh", "-c", "echo ready; sleep 600")
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    service.pipeline("down")
    service.finish(running, code=137)
    service.assert_gone()
