"""The network around the balancer, as ELBv2's operations ask for it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.balancer.elbv2.network import Endpoint, Subnet
from pipeline.balancer.model.tls import Certificate
from pipeline.base.home import Home
from pipeline.certificates.store import CertificateStore
from pipeline.engine.hosts import local_engine
from pipeline.network.lookup import Networks
from pipeline.network.store import NetworkStore
from pipeline.network.zones import find_zone


@dataclass(frozen=True)
class MachineNetwork:
    """Subnets of declared zones, certificates of a home, and its containers as instances."""

    home: Home
    networks: NetworkStore
    certificates: CertificateStore

    def subnet(self, owner: str, id_: str) -> Subnet | None:
        """Return a subnet by its id."""
        found = Networks(self.networks).subnet(owner, id_)
        if found is None:
            return None
        return Subnet(found.id, found.vpc_id, found.availability_zone, found.zone.name, found.zone.address)

    def zone(self, name: str) -> str | None:
        """Return the declared zone of a name, which may be AWS's."""
        found = find_zone(self.networks.zones, name)
        return found.name if found else None

    def has_vpc(self, owner: str, id_: str) -> bool:
        """Return whether a VPC exists."""
        return Networks(self.networks).has_vpc(owner, id_)

    def has_security_group(self, owner: str, id_: str) -> bool:
        """Return whether a security group exists."""
        return Networks(self.networks).security_group(owner, id_) is not None

    def address(self, owner: str, allocation: str) -> str | None:
        """Return an allocated address."""
        return Networks(self.networks).address(owner, allocation)

    def certificate(self, owner: str, arn: str) -> Certificate | None:
        """Return the file of a certificate, which holds its key too."""
        found = self.certificates.find(owner, arn)
        return Certificate(certificate=str(self.certificates.file(found))) if found else None

    def instance(self, owner: str, id_: str, port: int) -> Endpoint | None:
        """Return how a port of a running container of the owner is reached."""
        with local_engine(self.home.id) as engine:
            running = (each for each in engine.containers.for_pipeline(owner) if each.state == "running")
            found = next((each for each in running if each.name == id_), None)
        return Endpoint(found.address, port) if found else None

    def function(self, owner: str, name: str) -> Endpoint | None:  # noqa: ARG002
        """Return None: functions are declared in pipeline.yaml."""
        return None
