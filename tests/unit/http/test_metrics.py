"""`GET /metrics` of the daemon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.balancer.planes import open_balancer
from pipeline.base.clock import SYSTEM
from pipeline.base.home import Home
from pipeline.http.metrics import DaemonMetrics
from pipeline.store.job_run import JobState
from pipeline.store.queue import RunRequest
from pipeline.store.records import DeploymentState, RunState, Trigger
from pipeline.store.store import Store
from tests.support.started_runs import begin_run


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})


def values(metrics: DaemonMetrics) -> dict[str, float]:
    """Return the value of each sample."""
    lines = (line.rpartition(" ") for line in metrics.text().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_runs_are_counted_once(home: Home) -> None:
    """A run counts when it has ended, once, and what waits is a gauge."""
    with Store(home.database) as store:
        metrics = DaemonMetrics(store, {"shop"}, open_balancer(home.balancer))
        begin_run(store, "shop")
        store.queue.put("shop", [RunRequest(Trigger.HOOK, sha="a")])
        found = values(metrics)
        assert found['penstock_runs_running{pipeline="shop"}'] == 1
        assert found['penstock_runs_queued{pipeline="shop"}'] == 1
        assert found['penstock_active_release{pipeline="shop"}'] == 0
        assert not [name for name in found if name.startswith("penstock_runs_total")]

        store.runs.finish("shop", 1, RunState.SUCCEEDED)
        for found in (values(metrics), values(metrics)):
            where = '{kind="run",pipeline="shop",state="succeeded"}'
            assert found[f"penstock_runs_total{where}"] == 1
            assert found[f"penstock_run_duration_seconds_count{where}"] == 1
            assert found[f"penstock_run_duration_seconds_sum{where}"] >= 0
            assert found['penstock_runs_running{pipeline="shop"}'] == 0


def test_each_service_has_its_number(home: Home) -> None:
    """The services are those of the active release."""
    with Store(home.database) as store:
        run, spec = begin_run(store, "shop").number, '{"services": {"web": {}, "worker": {}}}'
        made = store.releases.create("shop", run, sha="a" * 40, subject="", image_id="1", image_tag="1", spec=spec)
        row = store.deployments.begin("shop", run, None, made.number)
        store.deployments.finish(row, DeploymentState.SUCCEEDED, wanted={"web": 2, "worker": 3})
        found = values(DaemonMetrics(store, {"shop"}, open_balancer(home.balancer)))
        wanted = {name: count for name, count in found.items() if name.startswith("penstock_replicas_wanted")}
        assert list(wanted.values()) == [2, 3]


def test_jobs_are_counted(home: Home) -> None:
    """Each run once, and the end of the last success. A job that has not succeeded yet has none."""
    with Store(home.database) as store:
        run, spec = begin_run(store, "shop").number, '{"services": {"nightly": {"schedule": "0 3 * * *"}}}'
        made = store.releases.create("shop", run, sha="a" * 40, subject="", image_id="1", image_tag="1", spec=spec)
        store.deployments.finish(store.deployments.begin("shop", run, None, made.number), DeploymentState.SUCCEEDED)
        metrics = DaemonMetrics(store, {"shop"}, open_balancer(home.balancer))
        where, success = '{job="nightly",pipeline="shop"}', "penstock_job_last_success_timestamp_seconds"
        for state in (JobState.FAILED, JobState.SUCCEEDED):
            begun = store.job_runs.begin("shop", "nightly", 1, "c", SYSTEM.now())
            assert begun is not None
            found = values(metrics)
            assert found[f"penstock_job_running{where}"] == 1
            assert f"{success}{where}" not in found
            store.job_runs.finish(begun, state, datetime(2026, 1, 1, tzinfo=UTC), timedelta(seconds=2))
        for found in (values(metrics), values(metrics)):
            assert found[f"penstock_job_running{where}"] == 0
            assert found[f"{success}{where}"] == datetime(2026, 1, 1, tzinfo=UTC).timestamp()
            for state in ("failed", "succeeded"):
                assert found[f'penstock_job_runs_total{{job="nightly",pipeline="shop",state="{state}"}}'] == 1
