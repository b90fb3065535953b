"""What the providers of AWS's types work on: the networks, certificates, balancer and kept resources of a home."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.elbv2.network import Network
from pipeline.balancer.planes import open_balancer
from pipeline.base.home import Home
from pipeline.certificates.store import CertificateStore
from pipeline.config.owner_policy import allowed_networks
from pipeline.machine.endpoints.api import Endpoints
from pipeline.machine.endpoints.networks import AllowedNetworks
from pipeline.machine.instances import containers
from pipeline.machine.network import MachineNetwork, interfaces
from pipeline.network.lookup import Networks
from pipeline.network.store import NetworkStore
from pipeline.network.zones import Zone
from pipeline.parameter_store.store import ParameterStore
from pipeline.stacks.provider import StackContext
from pipeline.stacks.providers.ec2 import Ec2
from pipeline.stacks.providers.elbv2.client import Elbv2
from pipeline.stacks.providers.kept_store import KeptStore
from pipeline.store.clusters import clusters_in


@dataclass(frozen=True)
class Machine:
    """One machine, as AWS's types see it. Safe to use from any thread."""

    kept: KeptStore
    networks: NetworkStore
    certificates: CertificateStore
    parameters: ParameterStore
    balancer: Balancer
    network: Network
    allowed_networks: AllowedNetworks

    @classmethod
    def of_home(cls, home: Home, zones: Sequence[Zone]) -> Machine:
        """Return the machine of a home."""
        networks, certificates = NetworkStore(home.aws, zones), CertificateStore(home.aws)
        instances = partial(containers, home, partial(clusters_in, home.database))
        network = MachineNetwork(Networks(networks), zones, certificates, instances)
        parameters, balancer = ParameterStore(home.aws), open_balancer(home.balancer)
        return cls(
            KeptStore(home.aws), networks, certificates, parameters, balancer, network, partial(allowed_networks, home)
        )

    def ec2(self, context: StackContext) -> Ec2:
        """Return EC2's operations for a stack."""
        endpoints = Endpoints(self.balancer, self.networks, _refuse, self.allowed_networks)
        return Ec2(self.networks, lambda owner: interfaces(self.balancer, owner), context, endpoints)

    def elbv2(self, context: StackContext) -> Elbv2:
        """Return ELBv2's operations for a stack."""
        return Elbv2(self.balancer, self.network, context)


def _refuse(*_: object) -> None:
    """No resource of a stack accepts or rejects an endpoint."""
    raise AssertionError("a stack decides about no endpoint")
