"""The Docker Engine: images, containers and networks. The only module that knows its SDK.

Everything made here carries labels, and nothing without our home's label is ever changed or removed.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, ip_network
from typing import IO, TYPE_CHECKING, Any

from pipeline.errors import EngineFault, StageFailed

if TYPE_CHECKING:
    import docker

LABEL_HOME = "penstock.home"
LABEL_PIPELINE = "penstock.pipeline"
LABEL_RELEASE = "penstock.release"
LABEL_RUN = "penstock.run"
LABEL_TEMPLATE = "penstock.template"
LABEL_ROLE = "penstock.role"
LABEL_TREE = "penstock.tree"
LABEL_GRACE = "penstock.stop-grace"

ROLE_APP = "app"
ROLE_TEST = "test"

# Containers are started and stopped sixteen at a time, and looked at meanwhile.
_CONNECTIONS = 24
_TIMEOUT = 60
_TAIL = 20


@dataclass(frozen=True)
class Container:
    """A container as Docker shows it. `address` is its own in its network, also while it is stopped."""

    id: str
    name: str
    state: str
    image: str
    labels: Mapping[str, str]
    address: str
    created_at: datetime
    pid: int = 0
    exit_code: int | None = None
    oom_killed: bool = False


@dataclass(frozen=True)
class ContainerSpec:
    """What a container is made from. `memory` in bytes, `cpus` in cores; None: no limit."""

    name: str
    image: str
    labels: Mapping[str, str]
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None
    network: str = "bridge"
    address: str | None = None
    unprivileged: bool = False


class Engine:
    """The Docker Engine, as far as it is `home`'s. Safe to use from any thread. Raises `EngineFault`."""

    def __init__(self, home: str) -> None:
        # 80 ms that commands which need no Docker need not pay.
        import docker

        self.home = home
        with _readable_errors():
            self._client: docker.DockerClient = docker.from_env(
                version="auto", timeout=_TIMEOUT, max_pool_size=_CONNECTIONS
            )
        # The low-level client: one call where the objects of the SDK make one for each container.
        self._api: Any = self._client.api
        self._networks: dict[str, IPv4Network] = {}

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    # Containers

    def containers(self, pipeline: str, role: str = ROLE_APP) -> list[Container]:
        """Every container of a pipeline, in whatever state: one call, made to be made often."""
        labels = [f"{LABEL_HOME}={self.home}", f"{LABEL_PIPELINE}={pipeline}", f"{LABEL_ROLE}={role}"]
        with _readable_errors():
            rows = self._api.containers(all=True, filters={"label": labels})
        return [_listed(row) for row in rows]

    def inspect(self, container: str) -> Container:
        """One container, with how it ended."""
        with _readable_errors():
            return _inspected(self._api.inspect_container(container))

    def start(self, spec: ContainerSpec) -> str:
        """Make a container and start it; returns its id. It is not restarted before `set_restart_policy`.

        Raises `StageFailed` when the image or the configuration cannot be started, and leaves nothing behind.
        """
        with _readable_errors(), _users_fault(spec):
            created = self._api.create_container(
                image=spec.image,
                name=spec.name,
                command=list(spec.command) if spec.command else None,
                entrypoint=list(spec.entrypoint) if spec.entrypoint is not None else None,
                environment=dict(spec.environment),
                labels={**spec.labels, LABEL_HOME: self.home},
                host_config=self._api.create_host_config(**_host_options(spec)),
                networking_config=self._networking(spec),
                # The balancer checks; a second opinion would only cost time.
                healthcheck={"test": ["NONE"]},
            )["Id"]
            try:
                self._api.start(created)
            except BaseException:
                self._api.remove_container(created, force=True, v=True)
                raise
        return str(created)

    def set_restart_policy(self, container: str, policy: str) -> None:
        """What Docker does when the container ends by itself: no, on-failure, always, unless-stopped."""
        with _readable_errors(), _gone_is_fine():
            self._api.update_container(container, restart_policy={"Name": policy})

    def stop(self, container: str, grace: timedelta) -> None:
        """SIGTERM, SIGKILL after `grace`; returns when it has ended, and it is not restarted."""
        seconds = max(0, round(grace.total_seconds()))
        with _readable_errors(), _gone_is_fine():
            self._api.stop(container, timeout=seconds)

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Send a signal."""
        with _readable_errors(), _gone_is_fine():
            self._api.kill(container, signal)

    def remove(self, container: str) -> None:
        """Remove a container that has ended, with its anonymous volumes."""
        with _readable_errors(), _gone_is_fine():
            self._api.remove_container(container, v=True, force=True)

    def logs(self, container: str, tail: int = _TAIL) -> tuple[str, ...]:
        """The last lines that it printed."""
        with _readable_errors(), _gone_is_fine():
            raw = self._api.logs(container, tail=tail)
            return tuple(raw.decode(errors="replace").splitlines())
        return ()

    def stream(self, container: str) -> Iterator[str]:
        """Every line that it prints, until it ends."""
        with _readable_errors():
            yield from _lines(self._api.logs(container, stream=True, follow=True))

    def wait(self, container: str) -> int:
        """Its exit code, when it has ended."""
        with _readable_errors():
            # No timeout of ours: it ends when the container does, and whoever waits can stop that.
            return int(self._api.wait(container, timeout=None)["StatusCode"])

    def archive(self, container: str, path: str, limit: int) -> bytes | None:
        """A tar of a file or a folder in a container, at most `limit` bytes; None when it is not there."""
        with _readable_errors(), _gone_is_fine():
            chunks, _ = self._api.get_archive(container, path)
            content = io.BytesIO()
            for chunk in chunks:
                content.write(chunk)
                if content.tell() > limit:
                    return None
            return content.getvalue()
        return None

    def remove_leftovers(self, pipeline: str) -> int:
        """Remove test containers that a killed run left behind; how many there were."""
        left = self.containers(pipeline, ROLE_TEST)
        for container in left:
            self.remove(container.id)
        return len(left)

    # Networks

    def network_name(self, pipeline: str) -> str:
        """The pipeline's own bridge network."""
        return f"penstock-{self.home[:6]}-{pipeline}"

    def ensure_network(self, pipeline: str) -> IPv4Network:
        """Make the pipeline's network where it is missing; its addresses."""
        if pipeline in self._networks:
            return self._networks[pipeline]
        name = self.network_name(pipeline)
        with _readable_errors():
            subnet = self._subnet(name)
            if subnet is None:
                # Docker lets us choose addresses only where we have chosen the subnet. So it picks one that is
                # free, and the network is made again with just that one.
                draft = self._api.create_network(f"{name}-draft", driver="bridge")["Id"]
                picked = _ipam(self._api.inspect_network(draft))
                self._api.remove_network(draft)
                self._create_network(name, pipeline, picked)
                subnet = self._subnet(name)
        if subnet is None:
            raise EngineFault(f"Docker gave network {name} no IPv4 addresses")
        self._networks[pipeline] = subnet
        return subnet

    def remove_network(self, pipeline: str) -> None:
        """Remove the pipeline's network."""
        self._networks.pop(pipeline, None)
        with _readable_errors(), _gone_is_fine():
            self._api.remove_network(self.network_name(pipeline))

    def _subnet(self, name: str) -> IPv4Network | None:
        found = [n for n in self._api.networks(names=[name]) if n["Name"] == name]
        return IPv4Network(_ipam(found[0])["Subnet"]) if found else None

    def _create_network(self, name: str, pipeline: str, ipam: Mapping[str, str]) -> None:
        from docker.types import IPAMConfig, IPAMPool

        self._api.create_network(
            name,
            driver="bridge",
            check_duplicate=True,
            labels={LABEL_HOME: self.home, LABEL_PIPELINE: pipeline},
            ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=ipam["Subnet"], gateway=ipam.get("Gateway"))]),
        )

    def _networking(self, spec: ContainerSpec) -> Any:
        if spec.address is None:
            return None
        endpoint = self._api.create_endpoint_config(ipv4_address=spec.address)
        return self._api.create_networking_config({spec.network: endpoint})

    # Images

    def image_id(self, reference: str) -> str | None:
        """The id of an image that is here; None when it is not."""
        with _readable_errors(), _gone_is_fine():
            return str(self._api.inspect_image(reference)["Id"])
        return None

    def image_size(self, image: str) -> int:
        """How many bytes an image takes."""
        with _readable_errors():
            return int(self._api.inspect_image(image)["Size"])

    def tag(self, image: str, tag: str) -> None:
        """Give an image one more name."""
        repository, _, version = tag.rpartition(":")
        with _readable_errors():
            self._api.tag(image, repository, version)

    def pull(self, reference: str) -> None:
        """Fetch an image from its registry."""
        name, _, tag = reference.rpartition(":") if ":" in reference.rsplit("/", 1)[-1] else (reference, "", "latest")
        with _readable_errors():
            for message in self._api.pull(name, tag=tag, stream=True, decode=True):
                if "error" in message:
                    raise EngineFault(message["error"])

    def build(
        self,
        context: IO[bytes],
        *,
        dockerfile: str,
        tag: str,
        args: Mapping[str, str],
        labels: Mapping[str, str],
    ) -> Iterator[str]:
        """Build an image from a tar of its context; yields what the builder prints.

        Raises `StageFailed` with the builder's last lines when a step fails.
        """
        last: list[str] = []
        with _readable_errors():
            messages = self._api.build(
                fileobj=context,
                custom_context=True,
                dockerfile=dockerfile,
                tag=tag,
                buildargs=dict(args),
                labels={**labels, LABEL_HOME: self.home},
                rm=True,
                forcerm=True,
                decode=True,
            )
            for message in messages:
                if "error" in message:
                    raise _build_failed(message["error"], last)
                for line in str(message.get("stream", "")).splitlines():
                    if line.strip():
                        last = [*last, line][-_TAIL:]
                        yield line

    def images(self, pipeline: str) -> list[str]:
        """The ids of every image built for a pipeline."""
        labels = [f"{LABEL_HOME}={self.home}", f"{LABEL_PIPELINE}={pipeline}"]
        with _readable_errors():
            return [str(image["Id"]) for image in self._api.images(filters={"label": labels})]

    def remove_image(self, image: str) -> bool:
        """Remove an image and its tags; False when something still uses it."""
        import docker.errors

        with _readable_errors(), _gone_is_fine():
            try:
                for tag in self._api.inspect_image(image)["RepoTags"] or [image]:
                    self._api.remove_image(tag)
            except docker.errors.APIError as error:
                if error.status_code == 409:
                    return False
                raise
        return True


def _build_failed(error: str, last: list[str]) -> StageFailed:
    lines = [line for line in error.strip().splitlines() if line.strip()]
    step = next((line for line in reversed(last) if line.startswith("Step ")), None)
    where = f" in {step}" if step else ""
    return StageFailed(f"the build failed{where}: {lines[-1] if lines else error}", tail=tuple(last))


def _ipam(network: Mapping[str, Any]) -> dict[str, str]:
    pools = network["IPAM"]["Config"] or []
    return next((pool for pool in pools if ip_network(pool["Subnet"]).version == 4), {})


def _host_options(spec: ContainerSpec) -> dict[str, Any]:
    options: dict[str, Any] = {
        "binds": list(spec.volumes),
        "mem_limit": spec.memory,
        "nano_cpus": round(spec.cpus * 1e9) if spec.cpus else None,
        "pids_limit": spec.pids,
        "network_mode": spec.network,
        "init": False,
    }
    if spec.memory and spec.unprivileged:
        # Swap would let tests pass here that are killed where there is none.
        options["memswap_limit"] = spec.memory
    if spec.unprivileged:
        options |= {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
    return options


def _listed(row: Mapping[str, Any]) -> Container:
    endpoints = row.get("NetworkSettings", {}).get("Networks", {}).values()
    return Container(
        id=row["Id"],
        name=row["Names"][0].removeprefix("/") if row["Names"] else row["Id"][:12],
        state=row["State"],
        image=row["ImageID"],
        labels=row["Labels"],
        address=next((a for e in endpoints if (a := _address(e))), ""),
        created_at=datetime.fromtimestamp(row["Created"], UTC),
    )


def _inspected(row: Mapping[str, Any]) -> Container:
    state = row["State"]
    endpoints = row["NetworkSettings"]["Networks"].values()
    return Container(
        id=row["Id"],
        name=row["Name"].removeprefix("/"),
        state=state["Status"],
        image=row["Image"],
        labels=row["Config"]["Labels"],
        address=next((a for e in endpoints if (a := _address(e))), ""),
        # Docker writes nanoseconds, which datetime does not read.
        created_at=datetime.fromisoformat(row["Created"][:19]).replace(tzinfo=UTC),
        pid=state["Pid"],
        exit_code=state["ExitCode"],
        oom_killed=state["OOMKilled"],
    )


def _address(endpoint: Mapping[str, Any]) -> str:
    return str((endpoint.get("IPAMConfig") or {}).get("IPv4Address") or endpoint.get("IPAddress") or "")


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Whole lines; the last one may have no end."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    """What is not there (any more) needs no removing, stopping or reading."""
    import docker.errors

    try:
        yield
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as error:
        if error.status_code == 409 and ("is not running" in str(error) or "already in progress" in str(error)):
            return
        raise


@contextmanager
def _users_fault(spec: ContainerSpec) -> Iterator[None]:
    """Docker refuses what the pipeline.yaml or the image asks for."""
    import docker.errors

    try:
        yield
    except docker.errors.NotFound as error:
        raise StageFailed(f"{spec.name} cannot be started: {error.explanation}") from error
    except docker.errors.APIError as error:
        text = str(error.explanation)
        if "no space left" in text or (error.status_code == 500 and "OCI runtime" not in text):
            raise
        raise StageFailed(f"{spec.name} cannot be started: {_essence(text)}") from error


def _essence(text: str) -> str:
    """The last part of runc's nested complaint: what was not found, or not allowed."""
    return text.split("starting container process caused: ")[-1].replace(": unknown", "")


@contextmanager
def _readable_errors() -> Iterator[None]:
    import docker.errors
    import requests.exceptions

    try:
        yield
    except docker.errors.APIError as error:
        text = str(error.explanation or error)
        hint = "make room: docker system df shows what takes it" if "no space left" in text else None
        raise EngineFault(f"Docker: {text}", hint=hint) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise _unreachable(error) from error


def _unreachable(error: Exception) -> EngineFault:
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    text = str(error)
    if "Permission denied" in text:
        return EngineFault(
            f"Docker at {address} does not let you in", hint="join the group docker, or run this as root"
        )
    if any(sign in text for sign in ("No such file", "Connection refused", "FileNotFound")):
        return EngineFault(
            f"Docker does not run: nothing answers at {address}",
            hint="start it: systemctl start docker, or run dockerd",
        )
    if "timed out" in text.lower():
        return EngineFault(f"Docker at {address} did not answer within {_TIMEOUT} s")
    with contextlib.suppress(IndexError):
        text = text.splitlines()[0]
    return EngineFault(f"Docker at {address} went away: {text}", hint="see that it runs, then run the command again")
