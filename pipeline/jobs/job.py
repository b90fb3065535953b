"""A scheduled job of the active release."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from pipeline.api import StageContext
from pipeline.base.errors import ConfigError
from pipeline.base.local_zone import local_zone
from pipeline.base.suggestion import did_you_mean
from pipeline.base.time_zone import find_zone
from pipeline.config.mounts import resolved_mounts
from pipeline.config.privileges import pids
from pipeline.config.release import ReleaseSpec, service_names
from pipeline.config.service_spec import ServiceSpec
from pipeline.engine.container import ContainerSpec, LogLimit
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import (
    LABEL_GRACE,
    LABEL_PIPELINE,
    LABEL_RELEASE,
    LABEL_ROLE,
    LABEL_SERVICE,
    LABEL_TIMEOUT,
    ROLE_JOB,
)
from pipeline.store.job_run import JobSchedule
from pipeline.store.records import Release
from pipeline.store.services import job_names
from pipeline.store.store import Store
from pipeline.triggers.schedule import Schedule

# The engine must not drop lines that are not in the run's log yet. Its form of a line may take six times as much.
_ENGINE_LOG = LogLimit(64 * 2**20, 2)


@dataclass(frozen=True)
class Job:
    """A job as its release defines it."""

    pipeline: str
    release: int
    spec: ServiceSpec

    @property
    def name(self) -> str:
        """The name of its service."""
        return self.spec.name

    def schedule(self, since: datetime) -> Schedule:
        """Return its schedule. Raises `ConfigError` if this machine does not have its time zone."""
        settings = self.spec.settings
        assert settings.schedule
        return Schedule((settings.schedule,), self._zone(), since)

    def handled(self, since: datetime) -> JobSchedule:
        """Return its schedule as it is stored, when all times up to `since` are handled."""
        settings = self.spec.settings
        assert settings.schedule
        return JobSchedule(settings.schedule, settings.timezone, since)

    def container(self, context: StageContext, engine: Engine, name: str) -> ContainerSpec:
        """Return the container of a run.

        Raises `ConfigError` for a secret that cannot be read and for a volume that may not be mounted.
        """
        settings, options = self.spec.settings, self.spec.settings.container_options
        return ContainerSpec(
            name=name,
            image=self.spec.image_id,
            labels={
                LABEL_PIPELINE: self.pipeline,
                LABEL_SERVICE: self.name,
                LABEL_RELEASE: str(self.release),
                LABEL_ROLE: ROLE_JOB,
                LABEL_GRACE: str(settings.stop_grace.total_seconds()),
                LABEL_TIMEOUT: str(settings.timeout.total_seconds()),
            },
            command=settings.command,
            entrypoint=settings.entrypoint,
            environment=context.configuration.secrets.resolve_all(settings.environment),
            volumes=resolved_mounts(context.home.policy(self.pipeline), settings.volumes),
            memory=settings.memory,
            cpus=settings.cpus,
            log=_ENGINE_LOG,
            pids=pids(settings.pids_limit),
            init=settings.init,
            shm_size=settings.shm_size,
            privileges=settings.privileges,
            # Aliases that are a default of all services would lead requests to it.
            options=replace(options, log_driver=None, networks=dict.fromkeys(options.networks, ())),
            network=engine.networks.name(self.pipeline),
            address=str(engine.networks.distant_address(self.pipeline)),
        )

    def _zone(self) -> tzinfo:
        name = self.spec.settings.timezone
        return find_zone(name) if name else local_zone()


def jobs_of(release: Release | None) -> dict[str, Job]:
    """Return the jobs of a release, by name."""
    # A stage of another package may store other things than a `ReleaseSpec`.
    if release is None or not job_names(release.spec):
        return {}
    spec = ReleaseSpec.parse(release.spec)
    return {name: Job(release.pipeline, release.number, spec.service(name)) for name in spec.jobs}


def find_job(store: Store, pipeline: str, name: str) -> Job:
    """Return a job of the active release. Raises `ConfigError` if there is none of this name."""
    active = store.releases.active(pipeline)
    if active is None:
        raise ConfigError(f"{pipeline} has no active release", hint="`pipeline run` deploys one")
    jobs = jobs_of(active)
    if name in jobs:
        return jobs[name]
    if not jobs:
        hint = "a job is a service of deploy.services with a schedule"
        raise ConfigError(f"release {active.number} of {pipeline} has no jobs", hint=hint)
    if name in service_names(active.spec):
        raise ConfigError(f"{name} is not a job: it has no schedule", hint=f"the jobs are {', '.join(jobs)}")
    raise ConfigError(f"release {active.number} of {pipeline} has no job {name}", hint=did_you_mean(name, jobs))
