"""Reports of what keeps packets from appliances: networks that are not attached, appliances that cannot be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.balancer.balancer import Balancer
from pipeline.event_kinds import EventKind


class EndpointReports:
    """Emits an event for each change. For one thread. Methods raise what `balancer` raises."""

    def __init__(self, balancer: Balancer, emit: Callable[[EventKind, str], None]) -> None:
        self._balancer = balancer
        self._emit = emit
        self._detached: Mapping[tuple[str, str], str] = {}
        self._unusable: Mapping[str, str] = {}

    def report_networks(self) -> None:
        """Report each network whose endpoint it has left, and each that is back."""
        before, self._detached = self._detached, self._balancer.network_faults()
        if before == self._detached:
            return
        endpoints = {each.endpoint_id: each.label for each in self._balancer.registry().endpoints.values()}
        for (endpoint, network), reason in self._detached.items():
            if before.get((endpoint, network)) != reason:
                text = f"network {network} of {endpoints.get(endpoint, endpoint)} is not attached: {reason}"
                self._emit(EventKind.ENDPOINT_DETACHED, text)
        for endpoint, network in before.keys() - self._detached.keys():
            # Otherwise the endpoint was removed.
            if endpoint in endpoints:
                self._emit(EventKind.ENDPOINT_ATTACHED, f"network {network} of {endpoints[endpoint]} is attached again")

    def report_appliances(self) -> None:
        """Report each appliance that gets no flows, because its address cannot be used, and each that can."""
        before, self._unusable = self._unusable, self._balancer.unusable_targets(self._unusable)
        for target, reason in self._unusable.items():
            if before.get(target) != reason:
                self._emit(EventKind.APPLIANCE_UNUSABLE, f"{target} gets no flows: {reason}")
        for target in before.keys() - self._unusable.keys():
            self._emit(EventKind.APPLIANCE_USABLE, f"{target} is removed, or its address can be used again")
