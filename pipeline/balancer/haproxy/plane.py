"""The data plane of HAProxy, with an adapter process that invokes functions, and the activator."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.balancer.access import AccessLog
from pipeline.balancer.acme_account import account_thumbprint, has_account_key
from pipeline.balancer.challenges import challenged_ports
from pipeline.balancer.data_plane import Facts, FlowCounts, OpenFlow, PacketEnds, PlaneConfig, WantedGroup
from pipeline.balancer.effective import EffectiveNetworkListener
from pipeline.balancer.haproxy import process, socket_holder
from pipeline.balancer.haproxy.access_log import HAProxyAccessLog
from pipeline.balancer.haproxy.activator.holding import Holding, holds
from pipeline.balancer.haproxy.configuration import STATE_FILE, RenderedConfig, render
from pipeline.balancer.haproxy.control_socket import NotRunning, Runtime
from pipeline.balancer.haproxy.directory import Directory
from pipeline.balancer.haproxy.flow_counts import flow_counts
from pipeline.balancer.haproxy.found_processes import running
from pipeline.balancer.haproxy.functions.process import adapter
from pipeline.balancer.haproxy.functions.table import FunctionTable
from pipeline.balancer.haproxy.loaded_maps import LoadedMaps
from pipeline.balancer.haproxy.loaded_servers import LoadedServers
from pipeline.balancer.haproxy.naming import group_of
from pipeline.balancer.haproxy.servers import by_group, group_facts, is_checked
from pipeline.balancer.haproxy.worker_user import admit_workers
from pipeline.balancer.plane_choice import PlaneChoice
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.base.sockets import has_ipv6

_MAX_COMMAND_BYTES = 15000
# This file exists while the files of a configuration are written and not loaded yet.
_RELOAD_PENDING = "reload.pending"
_POLL_INTERVAL = 0.01
# Seconds for which the sockets of a process that runs may refuse connections or be missing.
_REFUSAL_TIMEOUT = 3.0
_logger = logging.getLogger(__name__)


class HAProxyPlane:
    """The HAProxy of one directory, as a `DataPlane`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = Directory(path)
        self._runtime = Runtime(path)
        self._maps = LoadedMaps(self._runtime, self._files)
        self._servers = LoadedServers(self._runtime, self._files, self._maps)
        self._functions = FunctionTable(path)
        self._adapter = adapter(path)
        self._holding = Holding(path)
        self._last_rendered: tuple[PlaneConfig, str, RenderedConfig] | None = None
        self._last_valid = ""

    def check(self, wanted: PlaneConfig) -> str | None:
        # A check makes no key. Any thumbprint is as valid as another.
        makes_key = bool(challenged_ports(wanted.listeners)) and not has_account_key(self._path)
        rendered = self._render(wanted, "none" if makes_key else self._thumbprint(wanted))
        files = {**self._contents(rendered), process.CONFIGURATION: rendered.configuration}
        identity = rendered.identity(files)
        if identity == self._last_valid or self._is_loaded(rendered, files):
            return None
        # A check that was killed has left private keys.
        self._files.remove_drafts()
        objection = process.check(self._path, files)
        if objection is None:
            self._last_valid = identity
        return objection

    def choices(self, wanted: PlaneConfig) -> Mapping[int, PlaneChoice]:
        only = PlaneChoice("HAProxy", "it is the only data plane")
        return {each.number: only for each in wanted.listeners if isinstance(each, EffectiveNetworkListener)}

    def apply(self, wanted: PlaneConfig) -> bool:
        if self.is_cut_off():
            self.end_if_hung()
        loaded, rendered = self._runtime.fingerprint(), self._render(wanted, self._thumbprint(wanted))
        self._update_functions(wanted)
        self._holding.prepare(wanted.groups.values())
        # A process that was killed has written the files and has not reloaded them.
        is_pending = self._files.text(_RELOAD_PENDING) is not None
        if loaded != rendered.fingerprint or is_pending or not self._update_certificates(rendered):
            self._load(rendered, running=loaded is not None)
        else:
            self._maps.update(rendered.maps)
        self._servers.steer(wanted.groups.values())
        if not _function_groups(wanted):
            self._adapter.stop()
            self._functions.remove()
        self._holding.tidy(wanted.groups.values())
        self._files.remove_others({*rendered.texts(), *(file.name for file in rendered.pem), *rendered.sockets})
        return loaded is None

    def take_over(self, wanted: PlaneConfig) -> None:
        # The adapter of version 1 reads its targets from the registry for each request.
        before = self._adapter.running()
        self._update_functions(wanted)
        if before is not None and before != self._adapter.running():
            self._adapter.wait_for_end(before)

    def steer(self, group: WantedGroup) -> None:
        if group.settings.is_lambda:
            self._functions.put(group)
        self._holding.steer(group)
        self._servers.steer([group])

    def extend(self, group: WantedGroup) -> bool:
        # The adapter's table and the map of thresholds keep figures of the whole group.
        if group.settings.is_lambda or not group.settings.attributes.needs_one_healthy or holds(group):
            return False
        return self._servers.extend(group)

    def observe(self, groups: Collection[str] | None = None) -> Facts:
        try:
            found = self._servers.statistics(groups)
        except NotRunning:
            return Facts(running=False, at=SYSTEM.now(), targets={})
        carried = {group_of(backend) for backend in found.backends if is_checked(backend)}
        if groups is not None:
            carried &= set(groups)
        # Without the adapter, functions get no requests.
        if carried & self._functions.groups() and self._adapter.running() is None:
            carried -= self._functions.groups()
        servers = by_group(found.servers)
        # Without the activator, a group without targets loses requests. The reconciliation that follows starts it.
        carried -= self._holding.unattended(carried - servers.keys())
        targets = {group: group_facts(group, servers.get(group, {})) for group in carried}
        return Facts(running=True, at=SYSTEM.now(), targets=self._holding.with_passed(targets))

    def open_flow(self, endpoint: str, packet: PacketEnds) -> OpenFlow | None:  # noqa: ARG002
        # HAProxy sees no packets.
        return None

    def network_faults(self) -> Mapping[tuple[str, str], str]:
        return {}

    def held(self, group: str) -> int:
        return self._holding.held(group)

    def flow_counts(self) -> tuple[FlowCounts, ...]:
        tables = self._runtime.tables()
        return tuple(counts for source, table in tables.items() for counts in flow_counts(source, table.split("\n")))

    def abort(self, group: str, target: str) -> None:
        if self._holding.has_passed(group):
            servers = by_group(self._servers.statistics([group]).servers).get(group, {})
            if fact := group_facts(group, servers).get(target):
                self._holding.abort(fact.endpoint)
        self._servers.abort(group, target)

    def maintain(self) -> None:
        self._files.cap_log(process.ACCESS_LOG)
        self._files.remove_drafts()

    def stop(self) -> None:
        if not self._path.exists():
            return
        process.stop(self._path)
        socket_holder.release(self._path)
        self._adapter.stop()
        self._functions.remove()
        self._holding.stop()
        (self._path / _RELOAD_PENDING).unlink(missing_ok=True)
        self._files.remove_others()

    def pid(self) -> int | None:
        return running(self._path)

    def stopped(self) -> tuple[int, ...]:
        return (*process.stopped(self._path), *self._adapter.stopped(), *self._holding.stopped())

    def resume(self) -> tuple[int, ...]:
        return (*process.resume(self._path), *self._adapter.resume(), *self._holding.resume())

    def is_cut_off(self) -> bool:
        return not self._runtime.has_sockets() and running(self._path) is not None

    def end_if_hung(self) -> bool:
        if self._responds():
            return False
        process.kill(self._path)
        return True

    @contextmanager
    def standby(self) -> Iterator[None]:
        with closing(socket_holder.SocketHolder(self._path)) as holder:
            thread = threading.Thread(target=holder.run_forever, name="sockets", daemon=True)
            thread.start()
            # Returns after the holder has HAProxy's current sockets.
            socket_holder.refresh(self._path)
            yield
        thread.join()

    def access_log(self) -> AccessLog:
        return HAProxyAccessLog(self._path / process.ACCESS_LOG)

    def _responds(self) -> bool:
        """Return whether HAProxy responds. True too if it does not run."""
        deadline = time.monotonic() + _REFUSAL_TIMEOUT
        while True:
            try:
                self._runtime.ping()
                return True
            except NotRunning:
                if running(self._path) is None:
                    return True
                # It is starting or exiting, or its socket was removed.
                if time.monotonic() > deadline:
                    return False
            except BalancerFault:
                return False
            time.sleep(_POLL_INTERVAL)

    def _is_loaded(self, rendered: RenderedConfig, files: Mapping[str, str]) -> bool:
        """Return whether HAProxy has loaded all but entries of maps and targets, which it cannot find fault with."""
        if self._files.text(_RELOAD_PENDING) is not None or self.is_cut_off():
            return False
        if any(self._files.text(file.name) != files[file.name] for file in rendered.pem):
            return False
        try:
            return self._runtime.fingerprint() == rendered.fingerprint
        except BalancerFault:
            return False

    def _render(self, wanted: PlaneConfig, thumbprint: str) -> RenderedConfig:
        # A change is checked and then applied.
        last = self._last_rendered
        if last is None or last[:2] != (wanted, thumbprint):
            last = self._last_rendered = wanted, thumbprint, render(wanted, ipv6=has_ipv6(), thumbprint=thumbprint)
        return last[2]

    def _thumbprint(self, wanted: PlaneConfig) -> str:
        """Return the end of the answers to authorities, empty if no certificate needs one."""
        return account_thumbprint(self._path) if challenged_ports(wanted.listeners) else ""

    def _update_functions(self, wanted: PlaneConfig) -> None:
        if groups := _function_groups(wanted):
            # Written first, so a new adapter finds its targets at its first request.
            self._functions.replace(groups)
            self._adapter.ensure_current()

    def _load(self, rendered: RenderedConfig, *, running: bool) -> None:
        """Start HAProxy or reload it. If it rejects the configuration, the previous files are restored."""
        files = {**self._contents(rendered), process.CONFIGURATION: rendered.configuration}
        before = self._files.existing(files.keys())
        try:
            # After a crash, the saved state of the servers is outdated. Without it they start as up until a check.
            self._files.write(STATE_FILE, self._runtime.state() if running else "")
            self._files.write(_RELOAD_PENDING, "")
            for name, content in files.items():
                self._files.write(name, content)
        except BalancerFault:
            # The disk may be full. A file that differs only in its targets is good enough: they are added afterwards.
            if running or rendered.fingerprint not in before.get(process.CONFIGURATION, ""):
                raise
        if running:
            self._reload(before)
        else:
            process.start(self._path)
        (self._path / _RELOAD_PENDING).unlink(missing_ok=True)
        socket_holder.refresh(self._path)

    def _reload(self, before: Mapping[str, str]) -> None:
        # Another program may have closed the folder. A replaced worker would then not reach its successor.
        admit_workers(self._path)
        try:
            refusal = self._runtime.reload()
        except BalancerFault:
            # What a signal has stopped is continued, not ended.
            if self.stopped() or not self.end_if_hung():
                raise
            process.start(self._path)
            return
        if refusal is not None:
            for name, content in before.items():
                self._files.write(name, content)
            (self._path / _RELOAD_PENDING).unlink(missing_ok=True)
            raise BalancerFault(f"HAProxy rejected its new configuration: {refusal}")

    def _update_certificates(self, rendered: RenderedConfig) -> bool:
        """Reload changed certificates. For an unusable one, the previous one stays.

        Returns False if HAProxy must be reloaded, because it reads commands into a buffer of 16 KiB.
        """
        for file in rendered.pem:
            if not file.is_issued(self._path):
                continue
            try:
                content = file.read(self._path)
                if content == self._files.text(file.name):
                    continue
                if len(content) > _MAX_COMMAND_BYTES:
                    return False
                self._runtime.replace_pem(file.kind, file.name, content)
                self._files.write(file.name, content)
            except (ConfigError, BalancerFault, OSError) as error:
                _logger.warning("keeping the previous certificate: %s", error)
        return True

    def _contents(self, rendered: RenderedConfig) -> dict[str, str]:
        """Return the files that HAProxy reads besides its configuration."""
        return {**rendered.texts(), **self._files.copies(rendered.pem)}


def _function_groups(wanted: PlaneConfig) -> list[WantedGroup]:
    return [group for group in wanted.groups.values() if group.settings.is_lambda]
