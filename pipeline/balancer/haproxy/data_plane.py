"""HAProxy made to agree with a registry: its configuration, its servers, its maps, its certificates."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from pipeline.balancer.haproxy import process, socket_holder
from pipeline.balancer.haproxy.configuration import STATE_FILE, RenderedConfig, render, thresholds
from pipeline.balancer.haproxy.control_socket import NotRunning, Runtime, ServerState
from pipeline.balancer.haproxy.functions import process as functions
from pipeline.balancer.haproxy.server_args import (
    ServerDefinition,
    ServerKey,
    by_target,
    same_target,
    server_definitions,
)
from pipeline.balancer.haproxy.words import backend_name, fail_open_backend_name
from pipeline.balancer.registry import Phase, Registry
from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.base.files import write_atomically

# What the names of files begin with that are made for one declaration.
_MADE = ("listener.", "certificate.", "trust.", "key.")
_MOST_BY_COMMAND = 15000
_logger = logging.getLogger(__name__)


class DataPlane:
    """The HAProxy of one directory. Whoever calls holds the balancer's lock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._runtime = Runtime(directory)

    def runs(self) -> bool:
        """Whether it serves something."""
        return self._runtime.fingerprint() is not None

    def check(self, registry: Registry) -> str | None:
        """HAProxy's objections to a registry, None when it has none. `ConfigError` for a missing file."""
        rendered = render(registry)
        files = {**self._files(rendered), process.CONFIGURATION: rendered.configuration}
        return process.check(self._directory, files)

    def follow(self, registry: Registry) -> None:
        """Make HAProxy run `registry`: start it, reload it, or find that it does already."""
        if registry.has_functions():
            functions.ensure_current(self._directory)
        loaded, rendered = self._runtime.fingerprint(), render(registry)
        if loaded != rendered.fingerprint or not self._renew(rendered):
            self._load(rendered, running=loaded is not None)
            for owner, owned in registry.owners.items():
                for group in owned.targets:
                    self.observe(registry, owner, group)
        else:
            self._set_maps(rendered.maps)
        if not registry.has_functions():
            functions.stop(self._directory)
        self._tidy(rendered)

    def _load(self, rendered: RenderedConfig, *, running: bool) -> None:
        """Start HAProxy or reload it. Refused, everything is on disk as it was."""
        files = {**self._files(rendered), process.CONFIGURATION: rendered.configuration}
        former = {name: path.read_text() for name in files if (path := self._directory / name).exists()}
        try:
            # What is known of the servers of one that has died is as old as the crash: they begin as up, and the
            # checks find out.
            self._write(STATE_FILE, self._runtime.state() if running else "")
            for name, content in files.items():
                self._write(name, content)
        except BalancerFault:
            # The disk may be full. A configuration that differs in its targets only does: they are added afterwards.
            if running or rendered.fingerprint not in former.get(process.CONFIGURATION, ""):
                raise
        if running:
            self._reload(former)
        else:
            process.start(self._directory)
        socket_holder.renew(self._directory)

    def _reload(self, former: Mapping[str, str]) -> None:
        refusal = self._runtime.reload()
        if refusal is not None:
            for name, content in former.items():
                self._write(name, content)
            raise BalancerFault(f"HAProxy did not take its new configuration: {refusal}")

    def _tidy(self, rendered: RenderedConfig) -> None:
        """Remove files that nothing names any more, keys among them."""
        named = {*rendered.texts(), *(file.name for file in rendered.pem)}
        for path in self._directory.iterdir():
            if path.name.startswith(_MADE) and path.name not in named:
                path.unlink(missing_ok=True)

    def stop(self) -> None:
        """End HAProxy and what invokes functions, and remove what they were started with."""
        process.stop(self._directory)
        socket_holder.release(self._directory)
        functions.stop(self._directory)
        for path in self._directory.iterdir():
            if path.name.startswith(_MADE):
                path.unlink(missing_ok=True)

    def observe(self, registry: Registry, owner: str, group: str) -> tuple[Registry, dict[str, ServerState]]:
        """Make HAProxy's servers of one group agree with the registry, and say how its targets are.

        The registry that is returned has the targets in service whose checks have passed.
        """
        try:
            servers = self.servers(registry, owner, group)
        except NotRunning:
            self.follow(registry)
            servers = self.servers(registry, owner, group)
        declared, backend = registry.group(owner, group), backend_name(owner, group)
        if declared.is_lambda:
            functions.ensure_running(self._directory)
        changed, wanted = False, set[ServerKey]()
        for registration in registry.registrations(owner, group):
            server = servers.get((backend, registration.target.id))
            if registration.phase is Phase.INITIAL and server and server.has_passed_check:
                registration = registration.moved(Phase.IN_SERVICE)
                registry = registry.move(owner, group, registration.target.id, Phase.IN_SERVICE)
            for place in server_definitions(owner, group, declared, registration):
                wanted.add((place.backend, place.name))
                changed |= self._agree(place, registration.phase, servers.get((place.backend, place.name)))
        for stranger in servers.keys() - wanted:
            self._runtime.disable(*stranger)
            self._runtime.delete(*stranger)
            changed = True
        if changed:
            servers = self.servers(registry, owner, group)
        if changed or not declared.attributes.needs_one_healthy:
            self._set_maps(thresholds(registry))
        return registry, by_target(servers, backend)

    def gets_requests(self, registry: Registry, owner: str, group: str, target_id: str) -> bool:
        """Whether HAProxy may send something to a target, healthy or not."""
        servers = self.servers(registry, owner, group)
        return any(not s.in_maintenance for (_, name), s in servers.items() if same_target(name, target_id))

    def cut(self, registry: Registry, owner: str, group: str, target_id: str) -> None:
        """Break what is in flight to a target."""
        for (backend, name), server in self.servers(registry, owner, group).items():
            if same_target(name, target_id) and server.in_flight:
                self._runtime.cut(backend, name)

    def servers(self, registry: Registry, owner: str, group: str) -> dict[ServerKey, ServerState]:
        """HAProxy's servers of one group, twins included."""
        backends = [backend_name(owner, group)]
        if not registry.group(owner, group).attributes.needs_one_healthy:
            backends.append(fail_open_backend_name(owner, group))
        return {
            (backend, name): server for backend in backends for name, server in self._runtime.servers(backend).items()
        }

    def _agree(self, place: ServerDefinition, phase: Phase, server: ServerState | None) -> bool:
        """Bring one server to its registration's phase. True when something was changed."""
        if phase is Phase.DRAINING:
            if server is None or server.in_maintenance:
                return False
            self._runtime.disable(place.backend, place.name)
            return True
        if server is None:
            self._runtime.add(place.backend, place.name, place.args)
        if phase is Phase.IN_SERVICE and (server is None or server.in_maintenance):
            self._runtime.enable(place.backend, place.name)
            return True
        return server is None

    def _set_maps(self, maps: Mapping[str, Mapping[str, str]]) -> None:
        """Make the maps that run those that are wanted."""
        for name, entries in maps.items():
            if self._runtime.entries(name) != entries:
                self._write(name, RenderedConfig.as_file(entries))
                self._runtime.replace_entries(name, entries)

    def _renew(self, rendered: RenderedConfig) -> bool:
        """Take over certificates that have changed. One that is no good keeps nobody from working: the former stays.

        False where HAProxy has to be reloaded for it: it reads commands into a buffer of 16 KiB.
        """
        for file in rendered.pem:
            try:
                content = file.read()
                if content == (self._directory / file.name).read_text():
                    continue
                if len(content) > _MOST_BY_COMMAND:
                    return False
                self._runtime.replace_pem(file.kind, file.name, content)
                self._write(file.name, content)
            except (ConfigError, BalancerFault, OSError) as error:
                _logger.warning("the former certificate stays: %s", error)
        return True

    def _files(self, rendered: RenderedConfig) -> dict[str, str]:
        """What HAProxy is to read. A certificate whose file is gone is still in our copy."""
        found = rendered.texts()
        for file in rendered.pem:
            try:
                found[file.name] = file.read()
            except ConfigError:
                kept = self._directory / file.name
                if not kept.exists():
                    raise
                found[file.name] = kept.read_text()
        return found

    def _write(self, name: str, content: str) -> None:
        """Have a file say so. One that does is left alone: HAProxy can be started again where the disk is full."""
        path = self._directory / name
        try:
            if not (path.exists() and path.read_bytes() == content.encode()):
                write_atomically(path, content)
        except OSError as error:
            raise BalancerFault(f"cannot write {path}: {error.strerror}") from error
