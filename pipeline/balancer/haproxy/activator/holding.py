"""Groups that hold requests while they have no target: the activator beside HAProxy, as the data plane uses it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.balancer.data_plane import TargetFact, WantedGroup
from pipeline.balancer.haproxy.activator.counts import read_counts
from pipeline.balancer.haproxy.activator.process import abort, activator, command
from pipeline.balancer.haproxy.activator.table import HoldingGroup, HoldingTable
from pipeline.balancer.haproxy.naming import holding_socket
from pipeline.balancer.model import ApplicationTargetGroup
from pipeline.base.errors import BalancerFault


def holds(group: WantedGroup) -> bool:
    """Return whether requests of a group wait while it has no target."""
    return isinstance(group.settings, ApplicationTargetGroup) and group.settings.hold_time is not None


class Holding:
    """The activator of one balancer directory. Callers hold the balancer's lock, except for what only reads.

    Without groups that hold requests, it costs nothing: there is no process and no file.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._table = HoldingTable(directory)
        self._activator = activator(directory)

    def prepare(self, groups: Iterable[WantedGroup]) -> None:
        """Let the activator serve these groups, before HAProxy sends it requests. Does nothing if none holds any."""
        if found := _entries(groups):
            # Those of groups that go are served until HAProxy knows them no more.
            self._table.replace({**self._table.groups(), **found})
            self._activator.ensure_current()
            command(self._directory, "sync")

    def tidy(self, groups: Iterable[WantedGroup]) -> None:
        """Serve no others than these groups. Called after HAProxy sends requests for no others."""
        found = _entries(groups)
        if not found:
            self.stop()
        elif found != self._table.groups():
            self._table.replace(found)
            command(self._directory, "sync")

    def steer(self, group: WantedGroup) -> None:
        """Update the targets of a group. From now on, those not admitted get no request that was held."""
        found = _entries([group])
        if found and {**self._table.groups(), **found} != self._table.groups():
            self._table.replace({**self._table.groups(), **found})
            # It may have died, and is then started again by the next `prepare`.
            with suppress(BalancerFault):
                command(self._directory, "sync")

    def unattended(self, groups: Collection[str]) -> frozenset[str]:
        """Return those of these groups for which the activator should hold requests and does not run."""
        found = frozenset(self._table.groups().keys() & set(groups))
        return found if found and self._activator.running() is None else frozenset()

    def held(self, group: str) -> int:
        """Return the number of requests of a group that wait for a target."""
        return read_counts(self._directory, [group])[group].held if group in self._table.groups() else 0

    def with_passed(self, targets: Mapping[str, dict[str, TargetFact]]) -> Mapping[str, Mapping[str, TargetFact]]:
        """Return the facts of groups with the requests that were held and are in flight now."""
        # A group that holds nothing any more may still have some.
        counts = read_counts(self._directory, targets)
        added = {
            group: {
                name: fact._replace(in_flight=fact.in_flight + counts[group].passed[fact.endpoint])
                for name, fact in targets[group].items()
            }
            for group in counts
        }
        return {**targets, **added} if added else targets

    def has_passed(self, group: str) -> bool:
        """Return whether requests of a group were held and are in flight."""
        return bool(read_counts(self._directory, [group])[group].passed)

    def abort(self, endpoint: str) -> None:
        """Close what was held and is in flight to an endpoint."""
        abort(self._directory, endpoint)

    def stop(self) -> None:
        """Stop the activator. It exits after what it has passed on has ended."""
        if self._activator.is_started():
            self._activator.stop()
        for group in self._table.groups():
            (self._directory / holding_socket(group)).unlink(missing_ok=True)
        self._table.remove()

    def stopped(self) -> tuple[int, ...]:
        """Return the activator, if a signal has stopped it."""
        return self._activator.stopped()

    def resume(self) -> tuple[int, ...]:
        """Continue the activator if a signal has stopped it, and return it."""
        return self._activator.resume()


def _entries(groups: Iterable[WantedGroup]) -> dict[str, HoldingGroup]:
    found = {}
    for group in groups:
        settings = group.settings
        if isinstance(settings, ApplicationTargetGroup) and settings.hold_time is not None:
            targets = tuple((target.address, target.port) for target in group.targets if target.admit)
            found[group.id] = HoldingGroup(
                settings.hold_time.total_seconds(),
                settings.protocol == "HTTPS",
                settings.protocol_version != "HTTP1",
                targets,
            )
    return found
