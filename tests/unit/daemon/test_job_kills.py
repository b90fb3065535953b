"""The daemon is killed at each transaction of a job's run: the next one leaves no run open, and starts none twice."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from pipeline.config.load import load
from pipeline.daemon.job_loop import JobLoop
from pipeline.runner.context import PipelineContext
from pipeline.store.job_run import JobState
from pipeline.testing.fakes.program import Program
from tests.support.job_home import NAME, JobHome
from tests.support.mortal_process import MortalStores, Power, ProcessDied
from tests.support.waiting import until

LINES = ("one", "two")


class KillHome(JobHome):
    """A home whose first daemon is killed. The job prints two lines and succeeds."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stores = MortalStores(monkeypatch)
        super().__init__(root, monkeypatch)
        self.program = Program(lines=LINES, exit_code=0)

    def mortal(self) -> tuple[JobLoop, Power]:
        """Return the loop of a daemon that can die."""
        store, power = self.stores.open(self.home.database)
        context = PipelineContext(self.home, load(self.root / "pipeline.yaml"), store, clock=self.clock)
        return JobLoop(lambda: context, self.clock), power


def live(jobs: KillHome, cut_at: int, *, late: bool) -> bool:
    """Let a daemon run the job at 3:00, and die at a transaction. Return whether it died."""
    loop, power = jobs.mortal()
    power.cut_at, power.late = cut_at, late
    with suppress(ProcessDied):
        loop.step()
        jobs.clock.advance(timedelta(minutes=31))
        loop.step()
        until(lambda: power.dead or not jobs.store.job_runs.running(NAME), "the end of the run or of the daemon")
    until(lambda: not any(each.name.startswith("job run") for each in threading.enumerate()), "its threads have ended")
    return power.dead


@pytest.mark.parametrize("late", [False, True])
def test_a_daemon_that_dies_at_each_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """Its time is run once, with all of its output, or is reported. Nothing is left over."""
    for number in count():
        folder = tmp_path / str(number)
        folder.mkdir()
        with monkeypatch.context() as patches:
            jobs = KillHome(folder, patches)
            jobs.deploy()
            died = live(jobs, number, late=late)
            successor = jobs.loop()
            successor.step()
            jobs.clock.advance(timedelta(hours=1))
            successor.step()
            jobs.pass_time(lambda jobs=jobs: not jobs.store.job_runs.running(NAME), "every run is over")
            jobs.pass_time(lambda jobs=jobs: not jobs.containers(), "no container is left")
            runs = jobs.store.job_runs.all(NAME)
            skipped = [kind for kind, _ in jobs.heard() if kind == "job.skipped"]
            assert len(runs) <= 1, number
            assert len(jobs.started) == len([run for run in runs if run.state is JobState.SUCCEEDED]), number
            assert runs or skipped, number
            for run in runs:
                assert run.state in (JobState.SUCCEEDED, JobState.LOST), number
                if run.state is JobState.SUCCEEDED:
                    texts = [json.loads(line)["text"] for line in jobs.log(run).splitlines()]
                    assert texts == list(LINES), number
                until(lambda jobs=jobs, run=run: not jobs.home.lock(run.container).exists(), "its lock is removed")
            jobs.close()
        if not died:
            break
    assert number > 4
