"""Programs that are forks of a Python which has imported the commands: what the tests of Docker rely on."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.command_line import started_pipeline
from tests.support.fork_server import ForkServer, fork_server
from tests.support.waiting import DEADLINE, until


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.py"


def run(program: Sequence[str], folder: Path, deadline: float = DEADLINE, **more: str) -> CompletedProcess[str]:
    return fork_server().run(program, folder, {**os.environ, **more}, deadline)


def test_a_command_prints_the_same_as_one_that_is_started(tmp_path: Path) -> None:
    for words in (["validate"], ["nothing"]):
        forked, started = run(["-m", "pipeline.cli.main", *words], tmp_path), started_pipeline(*words, cwd=tmp_path)
        assert (forked.returncode, forked.stdout, forked.stderr) == (
            started.returncode,
            started.stdout,
            started.stderr,
        )


def test_a_program_has_its_folder_arguments_and_environment(script: Path, tmp_path: Path) -> None:
    script.write_text(
        "import os, sys\n"
        "print(__name__, sys.argv, sys.path[0], os.getcwd(), os.environ['GIVEN'], 'HOME' in os.environ)\n"
        "print('to errors', file=sys.stderr)\n"
        "sys.exit(7)\n"
    )
    done = fork_server().run([str(script), "a", "b c"], tmp_path, {"GIVEN": "here"}, DEADLINE)
    shown = f"__main__ {[str(script), 'a', 'b c']} {tmp_path} {tmp_path} here False\n"
    assert (done.returncode, done.stdout, done.stderr) == (7, shown, "to errors\n")


def test_nothing_is_left_of_a_program_in_the_next(script: Path, tmp_path: Path) -> None:
    script.write_text(
        "import os, sys, pipeline\nprint(vars(pipeline).setdefault('left', os.getpid()) == os.getpid())\n"
    )
    assert [run([str(script)], tmp_path).stdout for _ in range(3)] == ["True\n"] * 3


def test_a_program_has_no_other_files_than_a_new_python(script: Path, tmp_path: Path) -> None:
    script.write_text(
        "import os\nprint([n for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')])\n"
    )
    assert run([str(script)], tmp_path).stdout == "['0', '1', '2']\n"


def test_a_killed_program_has_the_signal_as_its_code(script: Path, tmp_path: Path) -> None:
    script.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert run([str(script)], tmp_path).returncode == -signal.SIGKILL


def test_a_program_that_takes_too_long_is_killed(script: Path, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script.write_text(
        f"import os, signal\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\nwhile True: signal.pause()\n"
    )
    with pytest.raises(TimeoutError):
        run([str(script)], tmp_path, deadline=2)
    until(lambda: not Path(f"/proc/{pid.read_text()}").exists(), "the end of the program")
    script.write_text("import sys\nsys.exit(3)\n")
    assert run([str(script)], tmp_path).returncode == 3


def test_a_program_does_not_wait_for_what_it_leaves_behind(script: Path, tmp_path: Path) -> None:
    script.write_text(
        "import subprocess, sys\nprint(subprocess.Popen(['sleep', '1000'], start_new_session=True).pid)\n"
    )
    done = run([str(script)], tmp_path)
    assert done.returncode == 0
    os.kill(int(done.stdout), signal.SIGKILL)


def test_programs_run_at_once(script: Path, tmp_path: Path) -> None:
    script.write_text(
        "import os, sys, time\n"
        "open(sys.argv[1], 'w')\n"
        "while not os.path.exists(sys.argv[2]): time.sleep(0.01)\n"
        "print(sys.argv[1])\n"
    )
    names = [("a", "b"), ("b", "c"), ("c", "a")]
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda pair: run([str(script), *pair], tmp_path).stdout, names))
    assert done == ["a\n", "b\n", "c\n"]


def test_a_server_that_has_ended_is_named(script: Path, tmp_path: Path) -> None:
    script.write_text("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nwhile True: signal.pause()\n")
    with closing(ForkServer()) as server:
        for _ in range(2):
            with pytest.raises(AssertionError, match="the fork server ended with -9"):
                server.run([str(script)], tmp_path, os.environ, DEADLINE)
