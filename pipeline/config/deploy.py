"""The section `deploy`: the services of a pipeline, which are one release."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from pipeline.balancer.model import Name
from pipeline.base.errors import FieldError, field_errors, refuse
from pipeline.base.quantity import Whole
from pipeline.base.suggestion import nearest
from pipeline.base.time_zone import TimeZone
from pipeline.config.container_values import ImageName
from pipeline.config.deploy_hosts import MAX_HOSTS, DeployHost, host_mistakes
from pipeline.config.job import NOT_OF_JOB, OF_JOB, job_mistakes
from pipeline.config.rollback_conditions import rollback_mistakes
from pipeline.config.scaling import scaling_mistakes
from pipeline.config.service import ServiceHealthCheck, ServiceSettings
from pipeline.config.service_fit import service_mistakes
from pipeline.config.strategy_group import missing_group
from pipeline.config.swarm_fit import swarm_mistakes
from pipeline.engine.cluster import ClusterHost, ClusterSpec, RuntimeName
from pipeline.engine.labels import DEFAULT_SERVICE
from pipeline.engine.placement import Placement
from pipeline.scaling.policy import ScalingPolicy

OF_RELEASE = frozenset({"uses", "options", "approval", "release_command", "retain"})
"""The settings that a release has once, for all its services."""

_REPLICAS = "Number of containers. Not part of a release. With `scaling`, the number of the first deployment."
_SCALING = (
    "Auto scaling: bounds and targets by which the daemon changes the number of containers. Not part of a release. "
    "None: the number stays."
)
_MAX_SERVICES = 32


def _without_job_keys(schema: dict[str, Any]) -> None:
    for name in OF_JOB:
        schema["properties"].pop(name, None)


def _without_release_keys(schema: dict[str, Any]) -> None:
    for name in (*OF_RELEASE, "with"):
        schema["properties"].pop(name, None)


class Service(ServiceSettings):
    """One of several services. A key that it does not set has the value of `deploy`."""

    model_config = ConfigDict(json_schema_extra=_without_release_keys)
    names_elsewhere: ClassVar[Mapping[str, str]] = {
        **ServiceSettings.names_elsewhere,
        **{key: f"deploy.{key}, which is for all services" for key in ("hosts", "placement", "runtime")},
    }

    timezone: TimeZone | None = Field(None, description=ServiceSettings.model_fields["timezone"].description)
    image: ImageName | None = Field(
        None, description="Image of the service, such as redis:7, pulled if it is missing. None: that of `deploy`."
    )
    replicas: Whole = Field(1, ge=1, le=500, description=_REPLICAS)
    scaling: ScalingPolicy | None = Field(None, description=_SCALING)
    after: tuple[Name, ...] = Field(
        (), description="Services that must be healthy in the new release before this one is replaced."
    )

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        refuse(
            FieldError(
                "with" if key == "options" else key,
                "belongs in deploy, because it is the same for all services of a release",
            )
            for key in sorted(self.model_fields_set & OF_RELEASE)
        )
        return self


class Deploy(ServiceSettings):
    """The deployment of the image as containers, behind the balancer or behind none."""

    model_config = ConfigDict(json_schema_extra=_without_job_keys)
    names_elsewhere: ClassVar[Mapping[str, str]] = {**ServiceSettings.names_elsewhere, "servers": "hosts"}

    image: ImageName | None = Field(
        None,
        description="Image that was built elsewhere, such as registry.example.com/shop:1.2 or one with @sha256:…. It "
        "is pulled, and nothing is built. None: the built image.",
    )
    replicas: Whole = Field(1, ge=1, le=500, description=_REPLICAS)
    scaling: ScalingPolicy | None = Field(None, description=_SCALING)
    runtime: Literal["docker", "swarm"] = Field(
        "docker",
        description="What starts the containers. Not part of a release. `docker`: the engines of `hosts`, or that of "
        "this machine. `swarm`: the Docker Swarm that the engine of this machine manages.",
    )
    hosts: tuple[DeployHost, ...] = Field(
        (),
        max_length=MAX_HOSTS,
        description="Machines that run the containers of services. Not part of a release. Empty: this machine. With "
        "runtime: swarm, they say how the engines of its nodes are reached, by the host name of each node.",
    )
    placement: Literal["spread", "pack"] = Field(
        "spread",
        description="Choice of a host. Not part of a release. `spread` keeps zones, then hosts, equally full. `pack` "
        "uses the first host that answers.",
    )
    services: dict[Name, Service] = Field(
        {},
        max_length=_MAX_SERVICES,
        description="Several services, by name. The other keys of `deploy` are then the defaults of each service. "
        "Empty: one service, whose name is web.",
    )

    @property
    def settings(self) -> ServiceSettings:
        """The settings of `deploy` itself: those of the only service, or the defaults of all."""
        return ServiceSettings.model_construct(**{name: getattr(self, name) for name in ServiceSettings.model_fields})

    @property
    def cluster(self) -> ClusterSpec:
        """Where the containers of services run, as declared: addresses that are left out are empty."""
        if self.runtime == "swarm":
            return ClusterSpec(RuntimeName.SWARM, nodes=tuple(host.spec for host in self.hosts))
        hosts = tuple(ClusterHost(host.spec) for host in self.hosts)
        return ClusterSpec(RuntimeName.DOCKER, Placement(self.placement), hosts)

    def all_services(self) -> dict[str, ServiceSettings]:
        """Return the settings of each service, in the order of a rollout."""
        if not self.services:
            return {DEFAULT_SERVICE: self.settings}
        return {name: self._completed(self.services[name]) for name in self._order()}

    def all_replicas(self) -> dict[str, int]:
        """Return the declared number of replicas of each service: with `scaling`, `min` by default. Jobs have none."""
        scaling = self.all_scaling()
        found = {}
        for name in self._replicated():
            replicas = self._set_replicas(name)
            default = max(1, scaling[name].min) if name in scaling else 1
            # A service of ECS may have 0.
            found[name] = default if replicas is None else replicas
        return found

    def all_scaling(self) -> dict[str, ScalingPolicy]:
        """Return the policy of each service whose number of replicas is scaled automatically."""
        if not self.services:
            return {DEFAULT_SERVICE: self.scaling} if self.scaling else {}
        return {name: part.scaling for name, part in self.services.items() if part.scaling and not part.is_job}

    def images(self) -> dict[str, str]:
        """Return the names of the images that are not built, by service."""
        if not self.services:
            return {DEFAULT_SERVICE: self.image} if self.image else {}
        found = {name: service.image or self.image for name, service in self.services.items()}
        return {name: image for name, image in found.items() if image}

    def _replicated(self) -> tuple[str, ...]:
        if not self.services:
            return (DEFAULT_SERVICE,)
        return tuple(name for name, service in self.services.items() if not service.is_job)

    def _set_replicas(self, name: str) -> int | None:
        """Return the number of replicas that the file sets for a service, None if it sets none."""
        for part in (self.services.get(name), self):
            if part is not None and "replicas" in part.model_fields_set:
                return part.replicas
        return None

    def _completed(self, service: Service) -> ServiceSettings:
        """Return the settings of a service, with those of `deploy` where it sets none. Variables are joined."""
        own = service.model_fields_set
        # What does not fit a job is no default of it either. Nor are labels: a reverse proxy that reads them would send
        # requests to the job's container.
        unfit = {*NOT_OF_JOB, "labels"} if service.is_job else set()
        values = {
            name: getattr(service if name in own or name in unfit else self, name)
            for name in ServiceSettings.model_fields.keys() - OF_RELEASE
        }
        values["environment"] = {**self.environment, **service.environment}
        if values["target_group"] and "health_check" not in own:
            values["health_check"] = ServiceHealthCheck()
        if not values["target_group"] and "strategy" not in own:
            values["strategy"] = None
        if not values["target_group"] and "rollback_on" not in own:
            values["rollback_on"] = None
        return ServiceSettings.model_validate(values)

    def _order(self) -> tuple[str, ...]:
        return tuple(TopologicalSorter({name: service.after for name, service in self.services.items()}).static_order())

    @model_validator(mode="after")
    def _check_services(self) -> Self:
        # Where the keys belong decides which services there are, and the rest is about these.
        refuse((*self._mistakes_of_place(), *self._mistakes_of_cluster()))
        refuse(self._mistakes_of_order())
        refuse(self._mistakes())
        return self

    def _mistakes_of_place(self) -> Iterator[FieldError]:
        """Yield the keys of `deploy` that belong in a service."""
        if self.services and self.target_group:
            yield FieldError("target_group", "belongs in one of services, because each needs a target group of its own")
        if self.services and self.scaling:
            yield FieldError("scaling", "belongs in one of services, because each has a load of its own")
        for key in OF_JOB:
            if key in self.model_fields_set:
                text = 'belongs in one of services, such as services: {nightly: {schedule: "0 3 * * *"}}'
                yield FieldError(key, text)

    def _mistakes_of_cluster(self) -> Iterator[FieldError]:
        """Yield what does not fit together in `runtime`, `hosts` and `placement`."""
        if "placement" in self.model_fields_set and self.runtime == "swarm":
            yield FieldError("placement", "does not fit runtime: swarm, which chooses itself; use swarm.preferences")
        elif "placement" in self.model_fields_set and not self.hosts:
            yield FieldError("placement", "needs hosts, between which it chooses; leave it out, or list deploy.hosts")
        yield from host_mistakes(self.hosts)

    def _mistakes_of_order(self) -> Iterator[FieldError]:
        """Yield the services of `after` that are none, that are jobs, or that wait for one another."""
        wrong = [
            FieldError(("services", name, "after", index), text)
            for name, service in self.services.items()
            for index, other in enumerate(service.after)
            if (text := self._mistake_of_after(other))
        ]
        yield from wrong
        try:
            self._order()
        except CycleError as error:
            cycle = error.args[1]
            yield FieldError(("services", cycle[0], "after"), f"has a cycle: {' after '.join(cycle)}")

    def _mistake_of_after(self, other: str) -> str:
        if other not in self.services:
            near = nearest(other, self.services)
            instead = f"did you mean {near}?" if near else f"write one of {', '.join(self.services)}"
            return f"there is no service {other}; {instead}"
        if self.services[other].is_job:
            return f"{other} is a job, so no deployment waits for it; release_command runs once before a release"
        return ""

    def _mistakes(self) -> Iterator[FieldError]:
        """Yield what is wrong with the services."""
        if not self.services:
            yield from self._mistakes_of(DEFAULT_SERVICE, self.settings)
        used: dict[str, str] = {}
        for name, service in self.services.items():
            place = ("services", name)
            yield from job_mistakes(service.is_job, frozenset(service.model_fields_set), place)
            try:
                settings = self._completed(service)
            except ValidationError as error:
                yield from _mistakes_of_defaults(error, place)
                continue
            if service.is_job:
                continue
            yield from map(self._placed(name), self._mistakes_of(name, settings))
            group = settings.target_group
            if group and group in used:
                yield FieldError(
                    (*place, "target_group"),
                    f"{group} has the targets of {used[group]} already; each service needs a target group of its own",
                )
            if group:
                used[group] = name

    def _placed(self, name: str) -> Callable[[FieldError], FieldError]:
        """Return what puts a mistake at the key of the service, or at that of `deploy` if only this one is written."""
        own = self.services[name].model_fields_set

        def place(mistake: FieldError) -> FieldError:
            if mistake.path[0] not in own and mistake.path[0] in self.model_fields_set:
                return FieldError(mistake.path, f"{mistake}; it is that of service {name}, too")
            return FieldError(("services", name, *mistake.path), str(mistake))

        return place

    def _mistakes_of(self, name: str, settings: ServiceSettings) -> Iterator[FieldError]:
        """Yield what does not fit together in the settings of one service."""
        yield from service_mistakes(settings, self.all_replicas()[name])
        if policy := self.all_scaling().get(name):
            yield from scaling_mistakes(policy, settings, self._set_replicas(name), ())
        yield from missing_group(settings)
        yield from swarm_mistakes(settings, is_swarm=self.runtime == "swarm", reaches_nodes=bool(self.hosts))
        yield from rollback_mistakes(settings, ())


def _mistakes_of_defaults(error: ValidationError, place: tuple[str | int, ...]) -> Iterator[FieldError]:
    """Yield what does not fit the defaults in `deploy` of a service."""
    cause = error.errors()[0].get("ctx", {}).get("error")
    for mistake in field_errors(cause) or (FieldError((), str(cause or error)),):
        yield FieldError((*place, *mistake.path), str(mistake))
