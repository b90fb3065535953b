"""The servers of the running HAProxy, which are changed to the wanted state without a reload."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence

from pipeline.balancer.data_plane import WantedGroup
from pipeline.balancer.haproxy.configuration import thresholds_of
from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.haproxy.directory import Directory
from pipeline.balancer.haproxy.loaded_maps import LoadedMaps
from pipeline.balancer.haproxy.naming import POOLS, THRESHOLDS, target_of
from pipeline.balancer.haproxy.server_args import closing_cuts
from pipeline.balancer.haproxy.servers import additions, backends_of, by_group, drain, has_added, servers_of, steps_to
from pipeline.balancer.haproxy.statistics import Statistics

_ABORT_TIMEOUT = 2.0
_POLL_INTERVAL = 0.01


class LoadedServers:
    """The servers that HAProxy has loaded. Raises `NotRunning` without a HAProxy. Callers hold the balancer lock.

    `statistics` may be called without it.
    """

    def __init__(self, runtime: Runtime, files: Directory, maps: LoadedMaps) -> None:
        self._runtime = runtime
        self._files = files
        self._maps = maps

    def statistics(self, groups: Collection[str] | None = None) -> Statistics:
        """Return the servers of these groups, or of all."""
        if groups is None:
            return self._runtime.statistics()
        pools = (self._files.text(POOLS) or "").splitlines()
        return self._runtime.statistics(backends_of(groups, pools))

    def steer(self, groups: Iterable[WantedGroup]) -> None:
        """Update the servers. Thresholds come first, so after a crash the servers show what is left to do."""
        groups = tuple(groups)
        self._set_thresholds(groups)
        changed = self._execute_steps(groups)
        # A server that may lose connections is drained first, and removed if it then has none.
        drained = [group for group in groups if closing_cuts(group.settings)]
        if changed and drained:
            self._execute_steps(drained)

    def extend(self, group: WantedGroup) -> bool:
        """Add the targets of a group that lists only new ones. Return False if `steer` is needed instead."""
        if closing_cuts(group.settings):
            # To remove a former target, a look at its connections is needed, which costs more in a large group.
            steps = additions(group, replaces=False)
            if has_added(self._runtime.execute(steps), steps):
                return True
            if not self._drains_former(group):
                return False
        steps = additions(group)
        return has_added(self._runtime.execute(steps), steps)

    def abort(self, group: str, target: str) -> None:
        """Close the open requests of a target, also in replaced workers."""
        deadline = time.monotonic() + _ABORT_TIMEOUT
        while time.monotonic() < deadline:
            servers = self.statistics([group]).servers
            busy = [key for key, server in servers.items() if target_of(key[1]) == target and server.in_flight]
            if not busy:
                return
            # A replaced worker still has the target as healthy and retries requests on it. Repeat until all are closed.
            for backend, name in busy:
                self._runtime.abort_connections(backend, name)
            time.sleep(_POLL_INTERVAL)

    def _execute_steps(self, groups: Sequence[WantedGroup]) -> bool:
        """Update the servers as far as possible without cutting a connection. Return whether anything was changed."""
        ids = [group.id for group in groups]
        servers = by_group(self.statistics(ids if len(ids) == 1 else None).servers)
        steps = [step for group in groups for step in steps_to(group, servers.get(group.id, {}))]
        self._runtime.execute(steps)
        return bool(steps)

    def _drains_former(self, group: WantedGroup) -> bool:
        """Close the servers that a group's targets have already. Return whether none of them has a connection."""
        self._runtime.execute(drain(*server) for server in servers_of(group))
        known = self.statistics([group.id]).servers
        former = [known[server] for server in servers_of(group) if server in known]
        return all(server.is_closed and not server.in_flight for server in former)

    def _set_thresholds(self, groups: Iterable[WantedGroup]) -> None:
        needs = {key: value for group in groups for key, value in thresholds_of(group).items()}
        if needs:
            self._maps.add(THRESHOLDS, needs)
