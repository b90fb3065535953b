"""`deploy.hosts`: the machines whose engines run replicas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from pipeline.balancer.model import Model, Name
from pipeline.base.errors import FieldError
from pipeline.config.steps import HostName
from pipeline.engine.cluster import LOCAL_HOST, SWARM
from pipeline.engine.host import LOCAL, HostSpec
from pipeline.engine.ssh_address import SshAddress

MAX_HOSTS = 64


def _engine(value: str) -> str:
    if value == LOCAL:
        return value
    if value.lower() in (LOCAL, "localhost", "127.0.0.1"):
        raise ValueError(f"must be {LOCAL} or begin with ssh://, got {value!r}; write {LOCAL} for this machine")
    if "://" not in value:
        raise ValueError(f"must be {LOCAL} or begin with ssh://, got {value!r}; write ssh://{value} or {LOCAL}")
    SshAddress.from_text(value)
    return value


def _address(value: Any) -> Any:
    """Return an address, or raise what to write instead of a name or of an address with a port."""
    if isinstance(value, str | int):
        try:
            ip_address(str(value))
        except ValueError:
            raise ValueError(_without_port(str(value))) from None
    return value


def _without_port(text: str) -> str:
    host, separator, port = text.rpartition(":")
    if separator and port.isdecimal():
        return (
            f"must be an IP address without a port, got {text!r}: Penstock chooses the port; write {host.strip('[]')}"
        )
    return f"must be an IP address of the host, such as 10.0.0.11, got {text!r}"


class DeployHost(Model):
    """A machine with a Docker engine that runs replicas."""

    example: ClassVar[str] = "{name: app1, docker: ssh://deploy@app1.example.com}"

    names_elsewhere: ClassVar[Mapping[str, str]] = {
        "host": "docker: ssh://USER@HOST",
        "hostname": "docker: ssh://USER@HOST",
        "ip": "address",
        "port": "docker: ssh://USER@HOST:PORT",
        "ssh": "docker: ssh://USER@HOST",
        "user": "docker: ssh://USER@HOST",
    }

    name: HostName = Field(description="Name of the host in events and commands. It is its identity: keep it.")
    docker: Annotated[str, AfterValidator(_engine)] = Field(
        description="Address of its engine: ssh://USER@HOST, with :PORT and the path of Docker's socket if they are "
        "not the usual ones, or `local` for the engine of this machine."
    )
    zone: Name = Field(
        LOCAL, description="Zone of the host, its failure domain. It is also the zone of its targets at the balancer."
    )
    address: Annotated[IPv4Address | IPv6Address, BeforeValidator(_address)] | None = Field(
        None,
        description="IP address of the host at which the balancer reaches its containers. Their ports are published on "
        "it. None: the one that ssh connects to, and 127.0.0.1 for `local`.",
    )

    @property
    def spec(self) -> HostSpec:
        """The host for a cluster. Its address is empty if it has to be looked up."""
        default = LOCAL_HOST.address if self.docker == LOCAL else ""
        return HostSpec(self.name, self.docker, self.zone, str(self.address) if self.address else default)


def host_mistakes(hosts: Sequence[DeployHost]) -> Iterator[FieldError]:
    """Yield what does not fit together in the list of hosts."""
    names: set[str] = set()
    engines: dict[object, str] = {}
    addresses: dict[object, str] = {}
    for index, host in enumerate(hosts):
        if host.name in names:
            yield FieldError(("hosts", index, "name"), f"{host.name} is the name of another host; choose another name")
        names.add(host.name)
        if host.name == SWARM:
            yield FieldError(("hosts", index, "name"), f"{SWARM} names the Swarm of this machine; choose another name")
        if (other := engines.setdefault(host.spec.engine, host.name)) != host.name:
            yield FieldError(("hosts", index, "docker"), f"{host.docker} is the engine of {other}, too; list it once")
        if host.address and (other := addresses.setdefault(host.address, host.name)) != host.name:
            yield FieldError(("hosts", index, "address"), f"{host.address} is the address of {other}, too")
        if host.address and host.address.is_unspecified:
            text = f"must be an address of the host that this machine can reach, got {host.address}"
            yield FieldError(("hosts", index, "address"), text)
