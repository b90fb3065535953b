"""Jobs over the control API: shown, run, cancelled, and their output read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.engine import hosts
from pipeline.engine.container import ContainerSpec
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program
from tests.support.api_daemon import ApiDaemon, api_daemon
from tests.support.waiting import until

PIPELINE = """\
name: shop
deploy:
  services:
    web: {command: [serve]}
    nightly: {command: [clean], schedule: "0 3 * * *", timezone: UTC}
"""


@pytest.fixture
def program() -> Program:
    """The program of the job, which runs until it gets SIGTERM."""
    return Program(on_sigterm=143)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Program) -> Iterator[ApiDaemon]:
    def program_of(_: ContainerSpec) -> Program:
        return program

    engine = FakeEngine(program=program_of)
    engine.images.add("sha256:a")
    monkeypatch.setattr(hosts, "local_engine", lambda *_: engine)
    with api_daemon(tmp_path, PIPELINE) as found:
        found.release("a" * 40, PIPELINE)
        yield found


def test_jobs_and_their_runs_are_shown(daemon: ApiDaemon) -> None:
    """As by `pipeline job list --json` and `pipeline job history --json`."""
    (job,) = daemon.get("jobs")
    assert (job["name"], job["schedule"], job["last_run"]) == ("nightly", "0 3 * * *", None)
    assert daemon.get("job-runs") == []
    run = daemon.post("jobs/nightly/run", by="ann")
    assert (run["number"], run["job"], run["scheduled_for"]) == (1, "nightly", None)
    assert [each["number"] for each in daemon.get("job-runs", job="nightly")] == [1]
    assert daemon.get("jobs")[0]["last_run"]["number"] == 1
    daemon.post("jobs/nightly/cancel")


def test_a_run_of_a_user_is_cancelled_by_another(daemon: ApiDaemon) -> None:
    """The events name both. A job has one run at a time."""
    daemon.post("jobs/nightly/run", by="ann")
    with pytest.raises(ConfigError, match=r"nightly runs already: run 1, since \d{4}-"):
        daemon.post("jobs/nightly/run", by="bob")
    assert daemon.post("jobs/nightly/cancel", by="bob")["number"] == 1
    until(lambda: daemon.get("job-runs")[0]["state"] == "cancelled", "the run is cancelled")
    until(lambda: len(daemon.events("job.")) == 2, "the events are stored")
    assert [(kind, fields["by"]) for kind, fields in daemon.events("job.")] == [
        ("job.started", "ann"),
        ("job.cancelled", "bob"),
    ]


def test_the_output_is_read_from_an_offset(daemon: ApiDaemon) -> None:
    """As JSON lines, like that of a run of the pipeline."""
    daemon.post("jobs/nightly/run")
    log = daemon.home.job_log("shop", daemon.store.job_runs.running("shop")[0].container)
    daemon.post("jobs/nightly/cancel")
    until(lambda: daemon.get("job-runs")[0]["state"] == "cancelled", "the run is cancelled")
    log.write_text(json.dumps({"text": "one"}) + "\n")
    assert daemon.text("job-runs/1/log") == '{"text": "one"}\n'
    assert daemon.text("job-runs/1/log?from=12") == 'e"}\n'[-4:]


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("POST", "jobs/web/run", "web is not a job: it has no schedule"),
        ("POST", "jobs/nightl/run", "release 1 of shop has no job nightl"),
        ("POST", "jobs/nightl/cancel", "shop has no job nightl"),
        ("POST", "jobs/nightly/cancel", "nightly does not run"),
        ("GET", "job-runs?job=x", "shop has no job x"),
        ("GET", "job-runs?limit=x", "limit: Input should be a valid integer, unable to parse string as an integer"),
        ("GET", "job-runs/7/log", "no job of shop has a run 7"),
        ("GET", "job-runs/x/log", "no job of shop has a run x"),
    ],
)
def test_bad_requests_are_explained(daemon: ApiDaemon, method: str, path: str, message: str) -> None:
    """The message names what is wrong."""
    with pytest.raises(ConfigError) as error:
        daemon.client.ask(method, f"/v1/pipelines/shop/{path}")
    assert error.value.message == message
