"""`pipeline logs`: from any offset, of one step, and to the last line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.base.lock import work_lock
from pipeline.cli.logs import command
from pipeline.store.queue import RunRequest
from pipeline.store.records import RunKind, RunState, Trigger
from pipeline.store.run_log import RunLogFile
from pipeline.store.store import Store
from tests.support.pipeline_yaml import MINIMAL
from tests.support.started_runs import begin_run
from tests.support.waiting import DEADLINE


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return the home of a pipeline with one running run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    Path("pipeline.yaml").write_text(MINIMAL)
    home = Home.locate()
    with Store(home.database) as store:
        begin_run(store, "shop")
    return home


@pytest.fixture
def log(home: Home) -> Iterator[RunLogFile]:
    with RunLogFile(home.run_log("shop", 1), str) as log:
        log.line("build", "Step 1/2")
        log.line("test", "1 passed")
        log.line("build", "Step 2/2")
        yield log


def output_of(*arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def texts(output: str) -> list[str]:
    return [json.loads(line)["text"] for line in output.splitlines()]


def test_one_step(log: RunLogFile) -> None:
    """`--step` prints the lines of that step only."""
    assert texts(output_of("--json", "--step", "build")) == ["Step 1/2", "Step 2/2"]
    assert output_of("1", "--step", "test").endswith("  test   1 passed\n")


def test_a_step_that_printed_nothing(log: RunLogFile) -> None:
    """A step without output is an error with a suggestion."""
    with pytest.raises(ConfigError) as caught:
        output_of("--step", "biuld")
    assert str(caught.value) == "run 1 has no output of step biuld\ndid you mean build?"


def test_from_where_another_left_off(log: RunLogFile) -> None:
    """`--from` continues at the `end` of a line, without a gap or a repetition."""
    lines = [json.loads(line) for line in output_of("--json").splitlines()]
    assert [line["text"] for line in lines] == ["Step 1/2", "1 passed", "Step 2/2"]
    for index, line in enumerate(lines):
        rest = [json.loads(text) for text in output_of("--json", "--from", str(line["end"])).splitlines()]
        assert rest == lines[index + 1 :]


def test_following_a_run_to_its_end(home: Home, log: RunLogFile) -> None:
    """`--follow` prints new lines from any offset, and those between the last poll and the end."""
    start = json.loads(output_of("--json").splitlines()[0])["end"]
    with work_lock(home.lock("shop"), "run of shop"):
        following = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli.main", "logs", "-f", "--json", "--from", str(start)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert following.stdout is not None
        assert texts(following.stdout.readline() + following.stdout.readline()) == ["1 passed", "Step 2/2"]
        log.line("test", "while it looks")
        assert texts(following.stdout.readline()) == ["while it looks"]
        for number in range(100):
            log.line("test", str(number))
        with Store(home.database) as store:
            store.runs.finish("shop", 1, RunState.SUCCEEDED)
    rest, _ = following.communicate(timeout=DEADLINE)
    assert texts(rest) == [str(number) for number in range(100)]
    assert following.returncode == 0


def test_following_a_run_without_a_process(log: RunLogFile) -> None:
    """Following a run whose process was killed ends with the existing lines."""
    assert texts(output_of("-f", "--json")) == ["Step 1/2", "1 passed", "Step 2/2"]


def test_following_a_queued_run_without_a_process(home: Home) -> None:
    """It ends at once and says what the run waits for, since no process can start it."""
    with Store(home.database) as store:
        store.runs.finish("shop", 1, RunState.SUCCEEDED)
        store.queue.put("shop", [RunRequest(Trigger.HOOK, sha="a")])
    done = CliRunner().invoke(command, ["-f"], catch_exceptions=False)
    assert done.stdout == ""
    assert done.stderr == ("run 2 waits in the queue, for `pipeline serve`; `pipeline events 2` shows its steps\n")


@pytest.mark.parametrize("kind", [RunKind.ROLLBACK, RunKind.DOWN])
def test_a_run_without_output(home: Home, kind: RunKind) -> None:
    """The command names those that show what a rollback did, and what its release was built by."""
    release = {"sha": "a", "subject": "", "image_id": "", "image_tag": "", "spec": "{}"}
    with Store(home.database) as store:
        number = store.releases.create("shop", 1, **release).number
        store.queue.begin("shop", RunRequest(Trigger.COMMAND, kind=kind), "superseded")
        if kind is RunKind.ROLLBACK:
            store.runs.set_release("shop", 2, number)
        store.runs.finish("shop", 2, RunState.SUCCEEDED)
    done = CliRunner().invoke(command, [], catch_exceptions=False)
    assert (done.exit_code, done.stdout) == (0, "")
    built = ", and `pipeline logs 1` the output of release 1" if kind is RunKind.ROLLBACK else ""
    assert done.stderr == (
        f"{kind} 2 (succeeded) built and tested nothing; `pipeline events 2` shows its steps{built}\n"
    )


def test_the_file_has_its_long_name_only(log: RunLogFile, tmp_path: Path) -> None:
    """For logs, `-f` follows and the file has the option `--file` only."""
    Path("pipeline.yaml").rename("other.yaml")
    assert texts(output_of("--file", "other.yaml", "--json", "--step", "test")) == ["1 passed"]


def test_a_run_that_is_not_there(log: RunLogFile) -> None:
    """The error of an unknown run has the command that lists runs."""
    with pytest.raises(ConfigError, match="there is no run 7"):
        output_of("7")
