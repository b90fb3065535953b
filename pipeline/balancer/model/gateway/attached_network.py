"""Networks of this machine that are attached to an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.balancer.model.address import Network
from pipeline.base.errors import FieldError
from pipeline.base.schema import Model

PlaceKind = Literal["namespace", "docker_network", "host"]

NAMESPACE = r"^(/[!-~]+|[A-Za-z0-9_.@:-]{1,255})$"
DOCKER_NETWORK = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
_PLACES: tuple[PlaceKind, ...] = ("namespace", "docker_network", "host")


class AttachedNetwork(Model):
    """A network of an endpoint: a network namespace, a network of Docker, or this machine's own routes."""

    example: ClassVar[str] = "{docker_network: inspected}"
    names_elsewhere: ClassVar[Mapping[str, str]] = {"network": "docker_network", "netns": "namespace"}

    namespace: Annotated[str, Field(pattern=NAMESPACE)] | None = Field(
        None,
        description="A network namespace: its name in /run/netns, or the path of its file.",
    )
    docker_network: Annotated[str, Field(pattern=DOCKER_NETWORK)] | None = Field(
        None,
        description="A bridge network of Docker made with `--opt com.docker.network.bridge.inhibit_ipv4=true`, so that "
        "its gateway address is free. The endpoint takes it.",
    )
    host: Literal[True] | None = Field(None, description="True for this machine's own network.")
    addresses: tuple[Network, ...] = Field(
        (),
        description="The addresses in this network. Packets to them leave the endpoint here; the longest prefix "
        "counts. For a network of Docker, its own subnets if left out.",
    )
    routes: tuple[Network, ...] = Field(
        (),
        description="The destinations for which this network gets routes to the endpoint. If left out: all, as its "
        "default route, or for host the addresses of the other networks.",
    )

    @field_validator("namespace")
    @classmethod
    def _is_a_path(cls, namespace: str | None) -> str | None:
        if namespace in (".", ".."):
            raise ValueError(f"must be a name in /run/netns or a path, got {namespace!r}")
        return namespace

    @field_validator("addresses", "routes")
    @classmethod
    def _are_different(cls, networks: tuple[Any, ...]) -> tuple[Any, ...]:
        if twice := next((each for each in networks if networks.count(each) > 1), None):
            raise ValueError(f"must hold {twice} once")
        return networks

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        given = [name for name in _PLACES if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"got {' and '.join(given)}" if given else "got none"
            raise ValueError(f"must have one of namespace, docker_network and host, {found}")
        if not self.addresses and given != ["docker_network"]:
            raise FieldError("addresses", f"must hold the addresses that are reached through this {_noun(given[0])}")
        if self.docker_network and (wrong := next((each for each in self.addresses if each.version == 6), None)):
            raise FieldError(
                "addresses", f"must be of IPv4, got {wrong}: Docker gives the gateway address of IPv6 to the bridge"
            )
        return self

    @property
    def kind(self) -> PlaceKind:
        """The kind of network that it is."""
        return next(name for name in _PLACES if getattr(self, name) is not None)

    @property
    def place(self) -> str:
        """The name or path of the namespace, or the name of Docker's network. Empty for this machine's own network."""
        return self.namespace or self.docker_network or ""

    @property
    def reference(self) -> str:
        """What names it in a policy: `docker_network/NAME`, `namespace/NAME` or `host`."""
        return f"{self.kind}/{self.place}" if self.place else self.kind


def _noun(place: PlaceKind) -> str:
    return "machine" if place == "host" else place.replace("_", " ")
