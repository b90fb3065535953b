"""The metrics of a daemon in Prometheus' text: runs, stages, the queue and releases, beside those of the balancer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from threading import Lock
from typing import TYPE_CHECKING

from pipeline.config.release import service_names
from pipeline.engine.labels import DEFAULT_SERVICE
from pipeline.http.scaling_report import scaling_responses
from pipeline.store.job_run import JobState
from pipeline.store.records import Run, RunState
from pipeline.store.services import job_names
from pipeline.store.store import Store

if TYPE_CHECKING:
    from prometheus_client import Metric

    from pipeline.balancer.balancer import Balancer
    from pipeline.balancer.telemetry.metrics import Metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# The latest runs of a pipeline that are looked at. Not more of them end between two scrapes.
_MAX_RUNS = 1000
_FAMILIES = {
    "penstock_runs_total": ("counter", "Runs that ended, since the first one that the home kept at the first scrape."),
    "penstock_run_duration_seconds": ("summary", "Time of the runs that ended, from their start."),
    "penstock_stage_duration_seconds": ("summary", "Time of the stages of these runs. `deploy` is the deployments."),
    "penstock_runs_queued": ("gauge", "Runs that wait in the queue."),
    "penstock_runs_running": ("gauge", "Runs in execution."),
    "penstock_active_release": ("gauge", "Number of the active release."),
    "penstock_job_runs_total": ("counter", "Runs of jobs that ended, since the first one kept at the first scrape."),
    "penstock_job_run_duration_seconds": ("summary", "Time of these runs of jobs."),
    "penstock_job_last_success_timestamp_seconds": ("gauge", "End of the latest run of a job that succeeded."),
    "penstock_job_running": ("gauge", "1 while a job runs, else 0."),
    "penstock_replicas_wanted": ("gauge", "Number of replicas that the active release should have."),
    "penstock_scaling_min_replicas": ("gauge", "Smallest number of replicas that auto scaling may choose now."),
    "penstock_scaling_max_replicas": ("gauge", "Largest number of replicas that auto scaling may choose now."),
    "penstock_scaling_suspended": ("gauge", "1 while auto scaling of a service is suspended, else 0."),
}
# In the order of the numbers in `_count_scaling`.
_SCALING = ("penstock_scaling_min_replicas", "penstock_scaling_max_replicas", "penstock_scaling_suspended")
_Labels = tuple[tuple[str, str], ...]


class DaemonMetrics:
    """Counts the runs of a store. `pipelines` are those of the daemon. Safe to use from any thread."""

    def __init__(self, store: Store, pipelines: Collection[str], balancer: Balancer) -> None:
        self._store = store
        self._pipelines = pipelines
        self._balancer = balancer
        self._traffic: Metrics | None = None
        self._counted: dict[str, set[int]] = {}
        self._counted_jobs: dict[str, set[int]] = {}
        self._values: dict[str, Counter[tuple[str, _Labels]]] = {name: Counter() for name in _FAMILIES}
        self._lock = Lock()

    def text(self) -> str:
        """Return all metrics as they are now. Raises `StoreFault`, and `BalancerFault` if the data plane fails."""
        # Imported at the first scrape: the daemon needs them for nothing else.
        from prometheus_client import generate_latest

        from pipeline.balancer.telemetry.metrics import Metrics

        with self._lock:
            self._traffic = self._traffic or Metrics(self._balancer)
            for pipeline in sorted(self._pipelines):
                self._count(pipeline)
            own = generate_latest(_Families(self._families())).decode()
            return own + self._traffic.text()

    def _count(self, pipeline: str) -> None:
        where = (("pipeline", pipeline),)
        runs = self._store.runs.latest(pipeline, _MAX_RUNS)
        counted = self._counted.get(pipeline, set())
        for run in runs:
            if run.state.over and run.number not in counted:
                self._add(run, (*where, ("kind", str(run.kind)), ("state", str(run.state))))
        self._counted[pipeline] = {run.number for run in runs if run.state.over}
        self._set("penstock_runs_queued", where, sum(run.state is RunState.QUEUED for run in runs))
        self._set("penstock_runs_running", where, sum(run.state is RunState.RUNNING for run in runs))
        active = self._store.releases.active(pipeline)
        self._set("penstock_active_release", where, active.number if active else 0)
        for service in service_names(active.spec) if active else (DEFAULT_SERVICE,):
            wanted = self._store.services.wanted(pipeline, service) if active else 0
            self._set("penstock_replicas_wanted", (*where, ("service", service)), wanted or 0)

        self._count_jobs(pipeline, job_names(active.spec) if active else ())
        self._count_scaling(pipeline)

    def _count_scaling(self, pipeline: str) -> None:
        values = {
            ("service", found.service): (found.min, found.max, int(found.suspended_at is not None))
            for found in scaling_responses(self._store, pipeline)
        }
        for place, family in enumerate(_SCALING):
            # A service may be scaled no more.
            kept = {key: value for key, value in self._values[family].items() if ("pipeline", pipeline) not in key[1]}
            self._values[family] = Counter(kept)
            for service, numbers in values.items():
                self._set(family, (("pipeline", pipeline), service), numbers[place])

    def _count_jobs(self, pipeline: str, names: Collection[str]) -> None:
        runs = self._store.job_runs.all(pipeline)
        counted = self._counted_jobs.get(pipeline, set())
        for run in runs:
            if run.state.over and run.number not in counted:
                ended = (("pipeline", pipeline), ("job", run.job), ("state", str(run.state)))
                self._values["penstock_job_runs_total"]["", ended] += 1
                self._observe("penstock_job_run_duration_seconds", ended, run.duration.total_seconds())
        self._counted_jobs[pipeline] = {run.number for run in runs if run.state.over}
        for name in names:
            where = (("pipeline", pipeline), ("job", name))
            running = any(run.job == name and not run.state.over for run in runs)
            self._set("penstock_job_running", where, int(running))
            last = next((run for run in runs if run.job == name and run.state is JobState.SUCCEEDED), None)
            if last is not None and last.ended_at is not None:
                self._set("penstock_job_last_success_timestamp_seconds", where, int(last.ended_at.timestamp()))

    def _add(self, run: Run, where: _Labels) -> None:
        self._values["penstock_runs_total"]["", where] += 1
        self._observe("penstock_run_duration_seconds", where, run.duration.total_seconds())
        for stage in self._store.runs.stages(run.pipeline, run.number):
            named = (("pipeline", run.pipeline), ("stage", stage.name), ("state", str(stage.state)))
            self._observe("penstock_stage_duration_seconds", named, stage.duration.total_seconds())

    def _observe(self, family: str, where: _Labels, seconds: float) -> None:
        self._values[family]["_count", where] += 1
        # A Counter adds numbers of any kind.
        self._values[family]["_sum", where] += seconds  # type: ignore[assignment]

    def _set(self, family: str, where: _Labels, value: int) -> None:
        self._values[family]["", where] = value

    def _families(self) -> Iterable[Metric]:
        from prometheus_client import Metric

        for name, (kind, text) in _FAMILIES.items():
            # `prometheus_client` appends `_total` to the name of a counter.
            metric = Metric(name.removesuffix("_total"), text, kind)
            for (suffix, where), value in sorted(self._values[name].items()):
                metric.add_sample(f"{name}{suffix}", dict(where), value)
            if metric.samples:
                yield metric


class _Families:
    """Families in the form that `generate_latest` reads."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families
