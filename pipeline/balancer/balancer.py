"""The balancer: what is declared, the targets in it, and the HAProxy that follows. Usable without the runner.

The registry on disk is the truth. Every call first makes HAProxy agree with it, whatever was killed before:
so a caller never has to know whether HAProxy has just been restarted, and a change that was cut short is
finished by whoever looks next.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.balancer.haproxy import process
from pipeline.balancer.haproxy.configuration import STATE_FILE, Rendered, fingerprint, render
from pipeline.balancer.haproxy.health import judge
from pipeline.balancer.haproxy.runtime import NotRunning, Runtime, Server
from pipeline.balancer.haproxy.server import Place, ServerKey, by_target, is_checked, places, same_target
from pipeline.balancer.haproxy.tls import PemFile
from pipeline.balancer.haproxy.words import backend_name, open_backend_name
from pipeline.balancer.key_set import read_key_set
from pipeline.balancer.model import Declaration, Target, TargetHealth
from pipeline.balancer.registry import Phase, Registration, Registry, read_registry, write_registry
from pipeline.errors import BalancerFault, ConfigError
from pipeline.files import write_atomically
from pipeline.lock import exclusive

_logger = logging.getLogger(__name__)
_ACCESS_LOG_LIMIT = 64 * 2**20


class Balancer:
    """The load balancers and target groups of every owner on this machine, kept in one directory.

    Safe to use from any thread and any process. Raises `BalancerFault` when HAProxy fails and `ConfigError`
    when owners clash.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._runtime = Runtime(directory)

    def ensure_running(self) -> bool:
        """Make HAProxy run what is declared. True when it had to be started though somebody needed it."""
        with self._locked():
            self._cap_access_log()
            registry = self._with_keys(self._registry())
            self._save(registry)
            loaded = self._runtime.fingerprint()
            if not registry.owners:
                self._stop()
                return False
            self._follow(registry)
            return loaded is None

    def registry(self) -> Registry:
        """All that is declared, and the targets registered."""
        return self._registry()

    def declared(self, owner: str) -> Declaration | None:
        """What `owner` has declared."""
        owned = self._registry().owners.get(owner)
        return owned.declaration if owned else None

    def check(self, owner: str, declaration: Declaration) -> None:
        """Raise what `apply` would raise, and change nothing."""
        with self._locked():
            self._checked(owner, declaration)

    def apply(self, owner: str, declaration: Declaration) -> None:
        """Make `declaration` all that `owner` has. Its targets stay. On an error everything is as it was."""
        with self._locked():
            self._cap_access_log()
            former, wanted = self._registry(), self._checked(owner, declaration)
            try:
                self._save(wanted)
                self._follow(wanted)
            except BalancerFault:
                self._save(former)
                self._follow(former)
                raise

    def withdraw(self, owner: str) -> None:
        """Forget everything of `owner`. The last owner's leaving ends HAProxy."""
        with self._locked():
            registry = self._registry().withdraw(owner)
            self._save(registry)
            if registry.owners:
                self._follow(registry)
            else:
                self._stop()

    def register(self, owner: str, group: str, target: Target) -> None:
        """Add a target. It is `initial`, without traffic, until its health checks pass."""
        with self._locked():
            former = self._registry()
            registry = former.register(owner, group, target, ramps=self._is_served(former, owner, group))
            self._save(registry)
            self._observe(registry, owner, group)

    def deregister(self, owner: str, group: str, target_id: str) -> None:
        """Send a target no more requests. What is in flight goes on. Read back before this returns."""
        with self._locked():
            registry = self._registry().move(owner, group, target_id, Phase.DRAINING)
            self._save(registry)
            self._observe(registry, owner, group)
            servers = self._servers(registry, owner, group)
            if any(not server.in_maintenance for (_, name), server in servers.items() if same_target(name, target_id)):
                raise BalancerFault(f"HAProxy still sends requests to {target_id} after it was told not to")

    def cut(self, owner: str, group: str, target_id: str) -> None:
        """Break what is still in flight to a target."""
        with self._locked():
            for (backend, name), server in self._servers(self._registry(), owner, group).items():
                if same_target(name, target_id) and server.in_flight:
                    self._runtime.cut(backend, name)

    def forget(self, owner: str, group: str, target_id: str) -> None:
        """Remove a target that was deregistered. Does nothing when it is not there."""
        with self._locked():
            registry = self._registry()
            if owner not in registry.owners:
                return
            kept = tuple(r for r in registry.registrations(owner, group) if r.target.id != target_id)
            registry = registry.with_registrations(owner, group, kept)
            self._save(registry)
            self._observe(registry, owner, group)

    def target_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        """What the data plane says of each target of a group. Lets in those whose checks have passed.

        A group that is not declared has no targets.
        """
        with self._locked():
            registry = self._registry()
            if owner not in registry.owners or group not in registry.owners[owner].declaration.target_groups:
                return ()
            registry, servers = self._observe(registry, owner, group)
        declaration = registry.owners[owner].declaration
        return tuple(
            judge(
                r,
                servers.get(r.target.id),
                used=declaration.uses(group),
                checked=is_checked(r, declaration.target_groups[group]),
            )
            for r in registry.registrations(owner, group)
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive(self.directory / "lock"):
            yield

    def _registry(self) -> Registry:
        return read_registry(self.directory / "registry.json")

    def _save(self, registry: Registry) -> None:
        if registry != self._registry():
            write_registry(self.directory / "registry.json", registry)

    def _checked(self, owner: str, declaration: Declaration) -> Registry:
        registry = self._registry()
        if owner in registry.owners and registry.owners[owner].declaration == declaration:
            return registry
        wanted = self._with_keys(registry.declare(owner, declaration))
        _refuse_taken_ports(registry, wanted)
        rendered = render(wanted)
        files = {**self._files(rendered), process.CONFIGURATION: rendered.configuration}
        objection = process.check(self.directory, files)
        if objection:
            raise ConfigError(f"HAProxy refuses the balancer of {owner}: {objection}")
        return wanted

    def _with_keys(self, registry: Registry) -> Registry:
        """The registry with the keys of every issuer. Those that cannot be read again stay as they were."""
        found = {}
        for source in registry.issuers():
            known = registry.key_sets.get(source)
            if known and known.is_fresh and source.startswith("https://"):
                found[source] = known
                continue
            try:
                found[source] = read_key_set(source)
            except ConfigError as error:
                if known is None:
                    raise
                _logger.warning("the former keys stay: %s", error)
                found[source] = known
        return registry.with_key_sets(found)

    def _follow(self, registry: Registry) -> None:
        """Make HAProxy run `registry`: start it, reload it, or find that it does already."""
        loaded, rendered = self._runtime.fingerprint(), render(registry)
        if loaded == fingerprint(registry):
            self._set_live(rendered)
            return
        # What is known of the servers of one that has died is as old as the crash: they begin as up, and the checks
        # find out.
        self._write(STATE_FILE, "" if loaded is None else self._runtime.state())
        for name, content in self._files(rendered).items():
            self._write(name, content)
        self._write(process.CONFIGURATION, rendered.configuration)
        if loaded is None:
            process.start(self.directory)
        else:
            refusal = self._runtime.reload()
            if refusal is not None:
                raise BalancerFault(f"HAProxy did not take its new configuration: {refusal}")
        for owner, owned in registry.owners.items():
            for group in owned.targets:
                self._observe(registry, owner, group)

    def _set_live(self, rendered: Rendered) -> None:
        """Make the maps that run those that are declared."""
        for name, entries in rendered.live.items():
            if self._runtime.entries(name) != entries:
                self._write(name, rendered.live_files()[name])
                self._runtime.replace_entries(name, entries)
        for file in rendered.pem:
            self._renew(file)

    def _renew(self, file: PemFile) -> None:
        """Take over a certificate that has changed. One that is no good keeps nobody from working: the former stays."""
        try:
            content = file.read()
            if content != (self.directory / file.name).read_text():
                self._runtime.replace_pem(file.kind, file.name, content)
                self._write(file.name, content)
        except (ConfigError, BalancerFault, OSError) as error:
            _logger.warning("the former certificate stays: %s", error)

    def _files(self, rendered: Rendered) -> dict[str, str]:
        """What HAProxy is to read. A certificate whose file is gone is still in our copy."""
        found = {**rendered.files, **rendered.live_files()}
        for file in rendered.pem:
            try:
                found[file.name] = file.read()
            except ConfigError:
                kept = self.directory / file.name
                if not kept.exists():
                    raise
                found[file.name] = kept.read_text()
        return found

    def _observe(self, registry: Registry, owner: str, group: str) -> tuple[Registry, dict[str, Server]]:
        """Make HAProxy's servers of one group agree with the registry, and say how its targets are."""
        try:
            servers = self._servers(registry, owner, group)
        except NotRunning:
            self._follow(registry)
            servers = self._servers(registry, owner, group)
        declared = registry.owners[owner].declaration.target_groups[group]
        backend, changed, wanted = backend_name(owner, group), False, set[ServerKey]()
        for registration in registry.registrations(owner, group):
            server = servers.get((backend, registration.target.id))
            if registration.phase is Phase.INITIAL and server and server.has_passed:
                registry = registry.move(owner, group, registration.target.id, Phase.IN_SERVICE)
                registration = _find(registry, owner, group, registration.target.id)
            for place in places(owner, group, declared, registration):
                wanted.add((place.backend, place.name))
                changed |= self._agree(place, registration.phase, servers.get((place.backend, place.name)))
        for stranger in set(servers) - wanted:
            self._runtime.disable(*stranger)
            self._runtime.delete(*stranger)
            changed = True
        if changed:
            servers = self._servers(registry, owner, group)
            self._save(registry)
            if not declared.attributes.needs_few:
                self._set_live(render(registry))
        return registry, by_target(servers, backend)

    def _servers(self, registry: Registry, owner: str, group: str) -> dict[ServerKey, Server]:
        """HAProxy's servers of one group, twins included."""
        backends = [backend_name(owner, group)]
        if not registry.owners[owner].declaration.target_groups[group].attributes.needs_few:
            backends.append(open_backend_name(owner, group))
        return {
            (backend, name): server for backend in backends for name, server in self._runtime.servers(backend).items()
        }

    def _agree(self, place: Place, phase: Phase, server: Server | None) -> bool:
        """Bring one server to its registration's phase. True when something was changed."""
        if phase is Phase.DRAINING:
            if server is None or server.in_maintenance:
                return False
            self._runtime.disable(place.backend, place.name)
            return True
        if server is None:
            self._runtime.add(place.backend, place.name, place.words)
        if phase is Phase.IN_SERVICE and (server is None or server.in_maintenance):
            self._runtime.enable(place.backend, place.name)
            return True
        return server is None

    def _is_served(self, registry: Registry, owner: str, group: str) -> bool:
        """Whether some target gets its full share, beside which a new one may start slowly."""
        declaration = self.declared(owner)
        if declaration is None or group not in declaration.target_groups:
            return False
        ramp = declaration.target_groups[group].attributes.slow_start
        if ramp == 0 or not registry.registrations(owner, group):
            return False
        _, servers = self._observe(registry, owner, group)
        return any(server.status == "UP" and server.age >= ramp for server in servers.values())

    def _write(self, name: str, content: str) -> None:
        try:
            write_atomically(self.directory / name, content)
        except OSError as error:
            raise BalancerFault(f"cannot write {self.directory / name}: {error.strerror}") from error

    def _stop(self) -> None:
        process.stop(self.directory)

    def _cap_access_log(self) -> None:
        """Keep the end of a long access log beside it. HAProxy appends, so it goes on in the emptied file."""
        log = self.directory / process.ACCESS_LOG
        if log.exists() and log.stat().st_size > _ACCESS_LOG_LIMIT:
            former = os.open(log.with_suffix(".log.1"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with log.open("rb") as full, os.fdopen(former, "wb") as kept:
                full.seek(-_ACCESS_LOG_LIMIT, os.SEEK_END)
                shutil.copyfileobj(full, kept)
            os.truncate(log, 0)


def _find(registry: Registry, owner: str, group: str, target_id: str) -> Registration:
    return next(r for r in registry.registrations(owner, group) if r.target.id == target_id)


def _refuse_taken_ports(former: Registry, wanted: Registry) -> None:
    """Find out before anything is changed that another program listens on a port that is new to us."""
    known = {shared.address for shared in former.listeners()}
    for shared in wanted.listeners():
        if shared.address in known:
            continue
        version = shared.balancer.address.version if shared.balancer.address else 4
        with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET) as probe:
            # As HAProxy does: connections of a former listener that are still closing are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((shared.balancer.bind_address.strip("*[]"), shared.port))
            except OSError as error:
                raise _port_refused(shared.port, shared.described, error) from error


def _port_refused(port: int, declared_by: str, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"port {port} of {declared_by} is taken by another program",
            hint=f"find it with: ss -ltnp 'sport = :{port}', or give the listener another port",
        )
    if error.errno == errno.EACCES:
        return ConfigError(f"port {port} of {declared_by} needs root: it is below 1024", hint="use a port from 1024 on")
    return ConfigError(f"port {port} of {declared_by} cannot be used: {error.strerror}")
