"""Commands to the endpoints of gateway load balancers, of a daemon or of a command."""

from __future__ import annotations

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.effective_endpoints import EffectiveEndpoint, find_endpoint
from pipeline.balancer.endpoint_resources import EndpointState
from pipeline.event_kinds import EventKind
from pipeline.events import Events, Listener

_KINDS = {EndpointState.AVAILABLE: EventKind.ENDPOINT_ACCEPTED, EndpointState.REJECTED: EventKind.ENDPOINT_REJECTED}
_WORDS = {EndpointState.AVAILABLE: "accepted", EndpointState.REJECTED: "rejected"}


class EndpointControl:
    """The endpoints of all pipelines, and the decisions of their services' owners. Safe to use from any thread.

    `record` gets the events, for the pipeline of the endpoint and that of the service.
    """

    def __init__(self, balancer: Balancer, record: Listener) -> None:
        self.balancer = balancer
        self._record = record

    def accept(self, name: str, *, by: str | None) -> tuple[EffectiveEndpoint, bool]:
        """Let an endpoint send its packets to its service, for a user. Return it, and whether that is new.

        `name`: its id, NAME, or NAME.OWNER. Raises `ConfigError` for an unknown one, and for one without a service.
        """
        return self._decide(name, EndpointState.AVAILABLE, by)

    def reject(self, name: str, *, by: str | None) -> tuple[EffectiveEndpoint, bool]:
        """Refuse the packets of an endpoint, also of one that was accepted. See `accept`."""
        return self._decide(name, EndpointState.REJECTED, by)

    def _decide(self, name: str, state: EndpointState, by: str | None) -> tuple[EffectiveEndpoint, bool]:
        found = find_endpoint(self.balancer.registry(), name)
        if is_changed := self.balancer.decide(found.endpoint.id, state):
            owner, service = found.endpoint.service
            text = f"endpoint {found.endpoint.name} of {found.endpoint.owner} {_WORDS[state]}"
            for pipeline in dict.fromkeys((owner, found.endpoint.owner)):
                events = Events(pipeline, by=by)
                events.subscribe(self._record)
                fields = {"endpoint": found.endpoint.endpoint_id, "service": f"{owner}/{service}"}
                events.emit_action(_KINDS[state], text, **fields)
        return find_endpoint(self.balancer.registry(), found.endpoint.endpoint_id), is_changed
