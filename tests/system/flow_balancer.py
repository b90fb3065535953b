"""A network load balancer in a network namespace, which may be carried by HAProxy or the kernel."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.flows.process import flow_agent
from pipeline.balancer.model import Declaration, Target, TargetHealth, TargetState
from pipeline.balancer.plane_choice import PlaneChoice
from pipeline.balancer.planes import open_balancer
from tests.support.waiting import until
from tests.system.flow_lab import BALANCER, PORT, SERVER_PORT, FlowLab, target

OWNER, GROUP = "shop", "db"
# On a busy machine, a healthy target may be late some times.
_CHECK = {"interval": "100ms", "timeout": "80ms", "healthy_threshold": 1, "unhealthy_threshold": 5}


class FlowBalancer:
    """The balancer on the balancer's machine of a lab. Its processes run there too."""

    def __init__(self, lab: FlowLab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory
        self._balancer = open_balancer(directory)

    @contextmanager
    def opened(self) -> Iterator[Balancer]:
        """Yield the balancer. Within the block, this thread is on the balancer's machine."""
        with self.lab.balancer.entered():
            yield self._balancer

    def declare(
        self,
        protocol: str = "TCP",
        *,
        address: str = BALANCER[4],
        zones: Mapping[str, str] | None = None,
        attributes: Mapping[str, Any] | None = None,
        group: Mapping[str, Any] | None = None,
        **keys: Any,
    ) -> None:
        """Declare a listener on `PORT` and its target group. `group` and `keys`: further ones of both.

        `zones` replace the address. `attributes`: those of the load balancer.
        """
        settings = {"protocol": protocol, "port": SERVER_PORT, "health_check": _CHECK, **(group or {})}
        listener = {"protocol": protocol, "port": PORT, "default_action": {"forward": GROUP}, **keys}
        place = {"zones": zones} if zones else {"address": address} if address else {}
        edge = {"type": "network", "listeners": [listener], "attributes": attributes or {}, **place}
        declared = {"target_groups": {GROUP: settings}, "load_balancers": {"edge": edge}}
        with self.opened() as balancer:
            declaration = Declaration.model_validate(declared)
            balancer.check(OWNER, declaration)
            balancer.apply(OWNER, declaration)

    def register(self, *numbers: int, zones: Mapping[int, str] | None = None) -> None:
        """Register servers, and wait until they are healthy. `zones`: their zones, by number."""
        targets = [
            Target(id=f"s{each}", address=str(target(each).address), port=SERVER_PORT, zone=(zones or {}).get(each))
            for each in numbers
        ]
        with self.opened() as balancer:
            balancer.register(OWNER, GROUP, *targets)
        self.await_states(**dict.fromkeys((each.id for each in targets), TargetState.HEALTHY))

    def deregister(self, number: int) -> None:
        """Deregister a server."""
        with self.opened() as balancer:
            balancer.deregister(OWNER, GROUP, f"s{number}")

    def remove(self, number: int) -> None:
        """Remove a deregistered server."""
        with self.opened() as balancer:
            balancer.remove_target(OWNER, GROUP, f"s{number}")

    def cut(self, number: int) -> None:
        """End the flows of a server."""
        with self.opened() as balancer:
            balancer.abort_connections(OWNER, GROUP, f"s{number}")

    def health(self, number: int) -> TargetHealth:
        """Return the health of a server, after a reconciliation."""
        with self.opened() as balancer:
            found = balancer.reconciled_health(OWNER, GROUP)
        return next(each for each in found if each.target.id == f"s{number}")

    def await_in_flight(self, number: int, count: int) -> None:
        """Wait until so many flows of a server are counted, which happens now and then while it gets new ones."""
        until(lambda: self.health(number).in_flight == count, f"s{number} has {count} in flight")

    def await_states(self, **states: TargetState) -> None:
        """Wait until servers have these states."""

        def found() -> bool:
            with self.opened() as balancer:
                health = balancer.reconciled_health(OWNER, GROUP)
            return {each.target.id: each.state for each in health}.items() >= states.items()

        until(found, f"the states are {states}")

    def choice(self) -> PlaneChoice:
        """Return what carries the listener."""
        with self.opened() as balancer:
            ((_, found),) = balancer.plane_choices()
        return found

    def fail(self, number: int) -> None:
        """Let a server's machine refuse new connections."""
        self.lab.far.nft(
            "add table ip test; add chain ip test in { type filter hook input priority 0; };"
            f"add rule ip test in ip daddr {target(number).address} tcp flags & (syn | ack) == syn "
            "reject with tcp reset"
        )

    def heal(self) -> None:
        """Let all servers accept connections again."""
        self.lab.far.nft("delete table ip test")

    def agent(self) -> int:
        """Return the process of the flow agent."""
        found = flow_agent(self.directory).running()
        assert found is not None
        return found

    def signal_agent(self, number: signal.Signals) -> None:
        """Send a signal to the flow agent."""
        os.kill(self.agent(), number)

    def rules(self) -> str:
        """Return the own table, or an empty text without one."""
        listed = self.lab.balancer.run("nft", "list", "tables")
        name = next((line.split()[-1] for line in listed.splitlines() if " inet penstock_" in line), "")
        return self.lab.balancer.run("nft", "list", "table", "inet", name) if name else ""

    def end(self) -> None:
        """Withdraw everything."""
        with self.opened() as balancer:
            balancer.resume()
            balancer.withdraw(OWNER)
