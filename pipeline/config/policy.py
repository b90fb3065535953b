"""Limits on a commit's pipeline.yaml. The owner of the home sets them in a file that no commit can change."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.alarms.condition import DEFAULT_SERVER, CommandCondition, Condition, PromqlCondition
from pipeline.balancer.model import Model
from pipeline.config.allowed_paths import covers, is_below, is_url_below
from pipeline.config.container_values import repository_of
from pipeline.config.devices import device_mapping
from pipeline.config.endpoint_policy import ENDPOINT_NETWORK, endpoint_objections
from pipeline.config.environment import VariableName
from pipeline.config.privileges import ALL, DEFAULT_CAPABILITIES, Capabilities
from pipeline.config.triggers import RefGlob
from pipeline.engine.cluster import SWARM
from pipeline.engine.host import LOCAL

if TYPE_CHECKING:
    from pipeline.config.container_settings import ContainerSettings
    from pipeline.config.hooks import Hook
    from pipeline.config.models import Build, Pipeline
    from pipeline.config.steps import Tests, TestService

TriggerName = Literal["command", "watch", "hook", "poll", "webhook", "schedule", "retry"]
EndpointNetwork = Annotated[str, Field(pattern=ENDPOINT_NETWORK)]


@dataclass(frozen=True)
class Readable:
    """The environment variables and secrets that a commit may read. The hints say how to allow another one.

    `secrets` are allowed besides those in the secrets file. None allows all: the policy then decides later.
    """

    names: frozenset[str]
    hint: str
    secrets: frozenset[str] | None = None
    secrets_hint: str = ""


class SecretUse(Model):
    """The runs that may use a secret. Empty lists allow all."""

    refs: tuple[RefGlob, ...] = Field((), description="Globs of branches and tags; `*` does not cross folders.")
    triggers: tuple[TriggerName, ...] = Field((), description="Triggers of the run.")

    def allows(self, ref: str, trigger: str) -> bool:
        """Return whether a run for `ref`, such as `main`, may use the secret."""
        on_ref = not self.refs or any(ref.count("/") == r.count("/") and fnmatchcase(ref, r) for r in self.refs)
        return on_ref and (not self.triggers or trigger in self.triggers)


class Policy(Model):
    """The limits of a pipeline's commits. Without a file, only environment variables and secrets are limited."""

    environment: tuple[VariableName, ...] = Field(
        (), description="Environment variables that a commit may read, besides those that the served file reads."
    )
    secrets: dict[VariableName, SecretUse] | None = Field(
        None,
        description="Secrets that a commit may use, and in which runs. None: those that the served file uses or that "
        "its secrets.file has, in every run.",
    )
    volumes: tuple[str, ...] | None = Field(
        None,
        description="Named volumes, and paths of this machine with everything below them, that a commit may mount, or "
        "use as a local cache of its builds. None: all.",
    )
    ssh: tuple[str, ...] | None = Field(
        None, description="Agents and keys that a commit may use in its builds, as written in build.ssh. None: all."
    )
    push: tuple[str, ...] | None = Field(
        None,
        description="Images that a commit may push, without their tag, and names with everything below them, such as "
        "registry.example.com/shop. None: all that the credentials of Docker allow.",
    )
    capabilities: Capabilities | None = Field(
        None,
        description="Linux capabilities beyond the default ones that a commit may add to its containers. None: all.",
    )
    devices: tuple[str, ...] | None = Field(
        None,
        description="Devices of this machine, and folders of devices, that a commit may use in its containers. "
        "None: all.",
    )
    networks: tuple[str, ...] | None = Field(
        None, description="Networks of Docker that the containers of a commit may join. None: all."
    )
    endpoint_networks: tuple[EndpointNetwork, ...] | None = Field(
        None,
        description="Networks that endpoints of a commit may attach: `docker_network/NAME`, `namespace/NAME` and "
        "`host`, also by EC2's API and stacks. None: those in the served file, with the same addresses and routes. For "
        "the API and stacks: all.",
    )
    log_drivers: tuple[str, ...] | None = Field(
        None, description="Log drivers that a commit may choose in `logging`, besides Docker's default one. None: all."
    )
    gpus: bool = Field(True, description="Whether a commit may use GPUs.")
    publish: tuple[IPv4Address | IPv6Address, ...] | None = Field(
        None,
        description="Addresses of this machine on which a commit may publish ports of its accessories, and of its "
        "services by the address of a host with docker: local. None: all.",
    )
    hosts: tuple[str, ...] | None = Field(
        None,
        description="Engines that a commit may use in deploy.hosts, as written in docker. None: those in the served "
        "file. `local` is always allowed, and `swarm` is the Swarm of this machine.",
    )
    swarm_secrets: tuple[str, ...] | None = Field(
        None, description="Secrets of the Swarm that a commit may use in swarm.secrets. None: those in the served file."
    )
    host_commands: tuple[str, ...] | None = Field(
        None,
        description="Programs that alarms and hooks of a commit may run on this machine, as written in command and "
        "host_command, with any arguments. None: the commands in the served file, with the same arguments.",
    )
    hook_urls: tuple[str, ...] | None = Field(
        None,
        description="URLs that hooks of a commit may call from this machine, with everything below them. None: the "
        "URLs of hooks in the served file, with the same method.",
    )
    prometheus: tuple[str, ...] | None = Field(
        None,
        description="Servers of Prometheus that alarms of a commit may query from this machine, as written in server. "
        f"None: those in the served file, and {DEFAULT_SERVER}.",
    )
    approval: Literal["optional", "required"] = Field(
        "optional", description="`required`: a commit without `deploy.approval` is refused."
    )

    def objections(
        self, pipeline: Pipeline, secrets: frozenset[str], ref: str, trigger: str, served: Pipeline | None = None
    ) -> Iterator[str]:
        """Yield the requests of a commit that are not allowed. `ref` is the branch, tag or commit that is run.

        `served` is the pipeline in the served file, whose alarms and hooks a commit may have too.
        """
        for name in sorted(secrets) if self.secrets is not None else ():
            use = self.secrets.get(name) if self.secrets else None
            if use is None:
                yield f"it uses the secret {name}, which is not in secrets"
            elif not use.allows(ref, trigger):
                yield f"it uses the secret {name}, which is not for a run of {ref} by {trigger}"
        containers = (pipeline.deploy, *pipeline.deploy.all_services().values(), *pipeline.accessories.values())
        for volume in dict.fromkeys(each for found in containers for each in found.volumes):
            source = volume.split(":")[0]
            if not self._allows_path(source):
                yield f"it mounts {source}, which is not in volumes"
        yield from self._objections_to_mounts(pipeline)
        yield from self._objections_to_options(containers)
        yield from self._objections_to_ports(pipeline)
        yield from endpoint_objections(self.endpoint_networks, pipeline, served)
        yield from self._objections_to_hosts(pipeline, served)
        yield from self._objections_to_alarms(pipeline, served)
        yield from self._objections_to_hooks(pipeline, served)
        yield from self._objections_to_build(pipeline.build)
        yield from self._objections_to_privileges(pipeline)
        if self.approval == "required" and pipeline.deploy.approval is None:
            yield "it has no deploy.approval, which is required"

    def _objections_to_privileges(self, pipeline: Pipeline) -> Iterator[str]:
        for section, container in _containers(pipeline):
            for capability in sorted(set(container.cap_add) - DEFAULT_CAPABILITIES):
                if self.capabilities is not None and not {ALL, capability} & set(self.capabilities):
                    yield f"it adds {capability} in {section}.cap_add, which is not in capabilities"
            for device in (device_mapping(each).host for each in container.devices):
                if self.devices is not None and not any(is_below(device, allowed) for allowed in self.devices):
                    yield f"it uses {device} in {section}.devices, which is not in devices"

    def _objections_to_mounts(self, pipeline: Pipeline) -> Iterator[str]:
        """Yield the paths that hosts would mount: a container there may have replaced one by a link."""
        if self.volumes is None or not any(host.docker != LOCAL for host in pipeline.deploy.hosts):
            return
        services = (service for service in pipeline.deploy.all_services().values() if not service.is_job)
        for volume in dict.fromkeys(each for service in services for each in service.volumes):
            if volume.startswith("/"):
                source = volume.split(":")[0]
                yield f"it mounts {source} on other hosts, where its links cannot be compared with volumes"

    def _objections_to_options(self, services: tuple[ContainerSettings, ...]) -> Iterator[str]:
        for network in dict.fromkeys(each for found in services for each in found.networks):
            if self.networks is not None and network not in self.networks:
                yield f"it joins the network {network}, which is not in networks"
        for driver in dict.fromkeys(found.logging.driver for found in services if found.logging):
            if self.log_drivers is not None and driver is not None and driver not in self.log_drivers:
                yield f"it uses the log driver {driver}, which is not in log_drivers"
        if not self.gpus and any(found.gpus for found in services):
            yield "it uses GPUs, which gpus does not allow"

    def _objections_to_hosts(self, pipeline: Pipeline, served: Pipeline | None) -> Iterator[str]:
        """Yield the engines that a commit must not use. Without the key of the policy, `served` counts."""
        known = {host.docker for host in served.deploy.hosts} if served else set()
        known |= {SWARM} if served and served.deploy.runtime == SWARM else set()
        allowed = known if self.hosts is None else {*self.hosts}
        if pipeline.deploy.runtime == SWARM and SWARM not in allowed:
            yield f"it deploys to the Swarm of this machine, which {_unnamed('hosts', self.hosts)}"
        known_secrets = _swarm_secrets(served) if served else frozenset()
        allowed_secrets = known_secrets if self.swarm_secrets is None else {*self.swarm_secrets}
        for secret in sorted(_swarm_secrets(pipeline) - allowed_secrets):
            yield f"it uses the Swarm's secret {secret}, which {_unnamed('swarm_secrets', self.swarm_secrets)}"
        for host in pipeline.deploy.hosts:
            if host.docker not in {LOCAL, *allowed}:
                yield f"it deploys to {host.docker}, which {_unnamed('hosts', self.hosts)}"

    def _objections_to_ports(self, pipeline: Pipeline) -> Iterator[str]:
        if self.publish is None:
            return
        for name, accessory in pipeline.accessories.items():
            for port in accessory.published:
                if ip_address(port.address) not in self.publish:
                    yield f"its accessory {name} publishes a port on {port.address}, which is not in publish"
        for host in pipeline.deploy.hosts:
            # Without hosts, services publish on loopback.
            address = host.address if host.docker == LOCAL else None
            if address and not address.is_loopback and address not in self.publish:
                yield f"its services publish ports on {address}, as host {host.name}, which is not in publish"

    def _objections_to_hooks(self, pipeline: Pipeline, served: Pipeline | None) -> Iterator[str]:
        """Yield what hooks would do on this machine and must not. Without a key of the policy, `served` counts."""
        known = list(_hooks(served)) if served else []
        commands, calls = {hook.host_command for hook in known}, {_call(hook) for hook in known}
        for hook in _hooks(pipeline):
            if hook.host_command and not self._allows_program(hook.host_command, commands):
                unnamed = _unnamed("host_commands", self.host_commands)
                yield f"its hooks run {hook.describe()} on this machine, which {unnamed}"
            if hook.http and not self._allows_url(hook, calls):
                yield f"its hooks call {hook.describe()}, which {_unnamed('hook_urls', self.hook_urls)}"

    def _allows_program(self, command: tuple[str, ...], served: Collection[tuple[str, ...] | None]) -> bool:
        return command in served if self.host_commands is None else command[0] in self.host_commands

    def _allows_url(self, hook: Hook, served: Collection[tuple[str, str] | None]) -> bool:
        if self.hook_urls is None:
            return _call(hook) in served
        return hook.http is not None and any(is_url_below(hook.http.url, allowed) for allowed in self.hook_urls)

    def _objections_to_build(self, build: Build) -> Iterator[str]:
        for path in local_caches(build):
            if not self._allows_path(path):
                yield f"its builds use the cache {path}, which is not in volumes"
        for repository in dict.fromkeys(map(repository_of, build.push)):
            if not self._allows_push(repository):
                yield f"it pushes {repository}, which is not in push"
        for agent in build.ssh:
            if self.ssh is not None and agent not in self.ssh:
                yield f"its builds use the SSH agent {agent}, which is not in ssh"

    def _objections_to_alarms(self, pipeline: Pipeline, served: Pipeline | None) -> Iterator[str]:
        """Yield what alarms would do on this machine and must not. Without a key of the policy, `served` counts."""
        known = list(_conditions(served)) if served else []
        commands = [found.command for found in known if isinstance(found, CommandCondition)]
        servers = [DEFAULT_SERVER, *(found.server for found in known if isinstance(found, PromqlCondition))]
        for found in _conditions(pipeline):
            if isinstance(found, CommandCondition) and not self._allows_program(found.command, commands):
                unnamed = _unnamed("host_commands", self.host_commands)
                yield f"its rollback_on runs {' '.join(found.command)} on this machine, which {unnamed}"
            if isinstance(found, PromqlCondition):
                allowed = servers if self.prometheus is None else self.prometheus
                if found.server not in allowed:
                    yield f"its rollback_on queries {found.server}, which {_unnamed('prometheus', self.prometheus)}"

    def _allows_push(self, repository: str) -> bool:
        allowed = self.push
        return allowed is None or any(f"{repository}/".startswith(f"{name.rstrip('/')}/") for name in allowed)

    def _allows_path(self, path: str) -> bool:
        return self.volumes is None or any(covers(allowed, path) for allowed in self.volumes)


def _conditions(pipeline: Pipeline) -> Iterator[Condition]:
    for service in pipeline.deploy.all_services().values():
        if service.rollback_on:
            yield from service.rollback_on.conditions


def _swarm_secrets(pipeline: Pipeline) -> frozenset[str]:
    services = (pipeline.deploy, *pipeline.deploy.services.values())
    return frozenset(secret.name for service in services for secret in service.swarm.secrets)


def _unnamed(key: str, listed: tuple[str, ...] | None) -> str:
    return f"is neither in the served file nor in {key} of a policy" if listed is None else f"is not in {key}"


def local_caches(build: Build) -> Iterator[str]:
    """Yield the paths of this machine that the caches of a build use."""
    for cache in (*build.cache_from, *build.cache_to):
        parts = (part.partition("=") for part in next(csv.reader([cache])))
        options = {key.strip().lower(): value for key, _, value in parts}
        if options.get("type") == "local":
            yield from (options[key] for key in ("src", "dest") if key in options)


def _containers(pipeline: Pipeline) -> Iterator[tuple[str, ContainerSettings | Tests | TestService]]:
    """Yield what each container of a commit is made from, with its section."""
    yield "deploy", pipeline.deploy
    for name, service in pipeline.deploy.services.items():
        yield f"deploy.services.{name}", service
    for name, accessory in pipeline.accessories.items():
        yield f"accessories.{name}", accessory
    if tests := pipeline.build.test:
        yield "build.test", tests
        for name, beside in tests.services.items():
            yield f"build.test.services.{name}", beside


def _hooks(pipeline: Pipeline) -> Iterator[Hook]:
    for service in pipeline.deploy.all_services().values():
        for _, hook in service.hooks.all():
            yield hook


def _call(hook: Hook) -> tuple[str, str] | None:
    return (hook.http.method, hook.http.url) if hook.http else None
