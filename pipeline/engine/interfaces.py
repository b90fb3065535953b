"""The interface of a container engine, for builds, tests, release commands and runtimes.

Every method is safe from any thread and raises `EngineFault` if the engine is unreachable, refuses, or does not respond
in time. Objects carry the label of one home, and an engine changes only those. Methods that stop or remove do nothing
for an object that is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple, Protocol, Self

from pipeline.base.errors import EngineFault
from pipeline.engine.builder import ImageBuilder
from pipeline.engine.container import Container, ContainerSpec
from pipeline.engine.labels import ROLE_APP


class RegistryLogin(NamedTuple):
    """The credentials for a registry."""

    user: str
    password: str


class Images(Protocol):
    """The images of one engine."""

    def id(self, reference: str) -> str | None:
        """Return the id of an image, or None if the engine does not have it."""

    def size(self, image: str) -> int:
        """Return the size of an image in bytes."""

    def tag(self, image: str, tag: str) -> None:
        """Add a tag to an image."""

    def untag(self, tag: str) -> None:
        """Remove a tag. An image stays if it has another one."""

    def has_name(self, image: str) -> bool:
        """Return whether an image has a tag, or a digest of a registry. It goes with its last one."""

    def healthcheck(self, image: str) -> tuple[str, ...] | None:
        """Return the command of the image's HEALTHCHECK, or None without one. It exits with 0 if healthy."""

    def pull(self, reference: str) -> None:
        """Pull an image from its registry."""

    def push(self, reference: str, login: RegistryLogin | None = None) -> str:
        """Push an image to its registry under this name, and return the digest that it has there.

        Without a login, the credentials are those of Docker's configuration.
        """

    def registry_names(self, image: str) -> tuple[str, ...]:
        """Return the names with a digest, such as `registry.example.com/shop@sha256:…`, under which registries have it.

        They are those under which it was pulled, and pushed under a name that it still has. Empty if it is gone.
        """

    def ignores(self, dockerignore: str) -> Callable[[str], bool]:
        """Return a predicate that is true for paths that a `.dockerignore` of this text excludes.

        A path that ends with a slash stands for all that may be in the folder: true only if none of it can be included.
        """

    def for_pipeline(self, pipeline: str) -> dict[str, str]:
        """Return the id of every image built for a pipeline, with the run that built it."""

    def ids(self) -> set[str]:
        """Return the id of every image of any program, those of single build steps included."""

    def layers(self, image: str) -> tuple[str, ...]:
        """Return the digests of an image's layers, the lowest one first. Empty if the image is gone."""

    def save(self, image: str) -> Iterator[bytes]:
        """Yield an archive of an image without its tags. It may be silent for a long time, so use `long_call`.

        Raises `EngineFault` if the image is gone.
        """

    def load(self, archive: Iterator[bytes]) -> None:
        """Add the image of an archive, or nothing. It may be silent for a long time, so use `long_call`.

        The archive may lack the contents of layers that this engine has on the same layers. Raises `LayerMissing` if it
        lacks another one.
        """

    def remove(self, image: str) -> bool:
        """Remove an image, its tags and what its build left.

        Returns False if it is in use or has a tag of another program.
        """


class CpuTime(NamedTuple):
    """The seconds of CPU that the processes of a container have used since its start, and when they were read.

    `read_at` is in seconds since an arbitrary start, the same for all containers of an engine.
    """

    seconds: float
    read_at: float


class ExistingContainers(Protocol):
    """What can be done with containers of one home that exist. They may be on several hosts.

    `for_pipeline` and `find` fill in `Container.host` then.
    """

    @property
    def missing(self) -> Mapping[str, EngineFault]:
        """The hosts that did not answer the last `for_pipeline`, with the reason. Empty for a single engine."""

    def for_pipeline(self, pipeline: str, role: str = ROLE_APP) -> list[Container]:
        """Return every container of a pipeline, in any state. Cheap enough to call 40 times a second."""

    def find(self, name: str) -> Container | None:
        """Return the home's container of that name, in any state, or None."""

    def inspect(self, container: str) -> Container:
        """Return one container in full. Raises `EngineFault` if it is gone."""

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Send a signal. A container that this ends is not restarted."""

    def remove(self, container: str) -> None:
        """Remove a container and its anonymous volumes, running or not."""

    def logs(self, container: str, tail: int = 20) -> tuple[str, ...]:
        """Return the last lines of output, or nothing if the container is gone or its log driver keeps none."""

    def exec(self, container: str, command: Sequence[str], limit: timedelta, cancelled: threading.Event) -> int | None:
        """Run a command in a container and return its exit code.

        Returns None if it still runs after `limit`, when `cancelled` is set, and if the container does not run.
        Raises `StageFailed` if the command cannot be started.
        """

    def cpu_time(self, container: str) -> CpuTime | None:
        """Return the CPU time of a container, or None if it does not run. Takes up to a second.

        Calls of several threads wait at the same time.
        """

    def cpus(self, container: str) -> int | None:
        """Return the number of processors of a container's machine. None if the container is gone, or unknown."""


class Containers(ExistingContainers, Protocol):
    """The containers of one home on one engine."""

    def start(self, spec: ContainerSpec) -> str:
        """Create and start a container and return its id. The engine does not restart it before `set_restart_policy`.

        Raises `StageFailed` if the image or the configuration cannot be started, and `PortTaken` if a port that it
        publishes is in use. Leaves nothing behind then.
        """

    def start_again(self, container: str) -> None:
        """Start a container that was stopped or has exited. Does nothing if it runs.

        Raises `StageFailed` if it is gone or cannot be started. It stays then. Raises `NetworkVanished` if one of its
        networks was removed, also if there is a new one of the same name.
        """

    def set_restart_policy(self, container: str, policy: str) -> None:
        """Set what the engine does when the process exits: no, on-failure, always or unless-stopped."""

    def stop(self, container: str, grace: timedelta) -> None:
        """Send SIGTERM, and SIGKILL after `grace`. Returns when the process has exited. It is not restarted."""

    def stream(self, container: str) -> Iterator[str]:
        """Yield every line of output until the process exits. A line of more than 64 KiB comes in pieces."""

    def tar(self, container: str, path: str) -> Iterator[bytes]:
        """Yield a tar of a file or a folder in a container, or nothing if it does not exist."""

    def changed_paths(self, container: str) -> frozenset[str]:
        """Return the paths that were written since the container started, without those in volumes."""

    def remove_leftovers(self, pipeline: str, running: Callable[[], Collection[int]] = tuple) -> None:
        """Remove the tests, their services and networks, and the release commands that a killed run left behind.

        `running` returns the runs that are in progress. Their containers and networks stay.
        """


class Networks(Protocol):
    """The networks of one home: one for each pipeline, and one for each test that has services."""

    def name(self, pipeline: str) -> str:
        """Return the name of the pipeline's network."""

    def ensure(self, pipeline: str, *, again: bool = False) -> IPv4Network:
        """Create the pipeline's network if it is missing and return its addresses. Cached, unless `again`."""

    def remove(self, pipeline: str) -> None:
        """Remove the pipeline's network."""

    def free_address(self, pipeline: str) -> IPv4Address:
        """Choose an address of the pipeline's network that no container has, running or stopped.

        An address is not chosen twice while others are free, so concurrent starts do not share one.
        """

    def has(self, network: str) -> bool:
        """Return whether the engine has a network of that name, of any program."""

    def distant_address(self, pipeline: str) -> IPv4Address:
        """Choose a free address that is not among the next ones of `free_address`, also in other processes."""

    def create_private(self, pipeline: str, run: int) -> str:
        """Create a network for the tests of one run and return its name. The engine chooses the addresses in it."""

    def private(self, pipeline: str) -> dict[str, Mapping[str, str]]:
        """Return the labels of each network that was created for a pipeline's tests, by its id."""

    def remove_private(self, network: str) -> None:
        """Remove a network that was created for tests, by its name or id."""


class ReplicaChange(NamedTuple):
    """A replica that starts, ends or is paused, or whose health has changed.

    If its process has just ended, `exit_code` is that of the process.
    """

    pipeline: str
    replica: str
    exit_code: int | None = None


class EngineEvents(Protocol):
    """The changes of a home's replicas, as the engine reports them.

    One thread at a time follows them. Any thread may call the other methods.
    """

    def follow(self) -> Iterator[ReplicaChange | None]:
        """Yield None once the events come, then each change. An exit may show in the engine's list some time later.

        Waits for the next event without a limit. Raises `EngineFault` if the engine is unreachable, and ends or raises
        it when the connection is lost. Call it again then: what happened in between is not reported.
        """

    def answers(self) -> bool:
        """Return whether the engine responds within ten seconds. An idle connection does not show it.

        False if nothing is followed.
        """

    def interrupt(self) -> None:
        """Let `follow` end, also while it waits. Does nothing if it is not called. Safe to repeat.

        A connection that is being made ends within ten seconds.
        """


class EngineConnection(Protocol):
    """A separate connection, for pulls that another thread may abort."""

    @property
    def images(self) -> Images:
        """The engine's images, used over this connection."""

    def close(self) -> None:
        """Abort the operations of this connection. Waiting calls raise `EngineFault`. Safe to repeat."""


class EngineDescription(NamedTuple):
    """An engine. `folder` has its images and containers, on its machine. `clock` is the time there.

    `id` is the same whatever the address by which the engine is reached.
    `has_own_ids`: the id of an image is that of its configuration. With containerd's image store it is another one.
    """

    id: str
    version: str
    api: str
    platform: str
    storage_driver: str
    has_own_ids: bool
    folder: str
    clock: datetime


class Engine(Protocol):
    """A container engine, limited to the objects of one home."""

    @property
    def images(self) -> Images:
        """The engine's images."""

    @property
    def containers(self) -> Containers:
        """The home's containers."""

    @property
    def networks(self) -> Networks:
        """The home's networks."""

    @property
    def platform(self) -> str:
        """The platform of the engine, such as `linux/amd64`."""

    @property
    def cpus(self) -> int:
        """The number of processors of the engine's machine, the most that a container may have."""

    @property
    def swarm_limits_privileges(self) -> bool:
        """Whether a Swarm of such engines applies `no_new_privileges` of a container. Others ignore it silently."""

    @property
    def log_drivers(self) -> frozenset[str]:
        """The names of the engine's log drivers."""

    @property
    def is_on_this_machine(self) -> bool:
        """Whether the engine listens on a Unix socket. It probably reaches the loopback of this machine then."""

    @property
    def builder(self) -> ImageBuilder:
        """The builder of images, chosen at the first use."""

    def answers(self) -> bool:
        """Return whether the engine responds."""

    def describe(self) -> EngineDescription:
        """Ask the engine for its description."""

    def cancellable(self) -> AbstractContextManager[EngineConnection]:
        """Open a separate connection. Leaving the block closes it."""

    def close(self) -> None:
        """Close the connections to the engine."""

    def __enter__(self) -> Self:
        """Return the engine itself."""

    def __exit__(self, *_: object) -> None:
        """Close the engine."""
