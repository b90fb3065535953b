"""The balancer: what is declared, the targets in it, and the HAProxy that follows. Usable without the runner.

The registry on disk is the truth. Every call first makes HAProxy agree with it, whatever was killed before:
so a caller never has to know whether HAProxy has just been restarted, and a change that was cut short is
finished by whoever looks next.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.balancer.haproxy import process
from pipeline.balancer.haproxy.health import judge
from pipeline.balancer.haproxy.render import (
    STATE_FILE,
    backend_name,
    fingerprint,
    is_checked,
    render,
    server_line,
)
from pipeline.balancer.haproxy.runtime import NotRunning, Runtime, Server
from pipeline.balancer.model import Declaration, Target, TargetHealth
from pipeline.balancer.registry import Phase, Registration, Registry, read_registry, write_registry
from pipeline.errors import BalancerFault, ConfigError
from pipeline.files import write_atomically
from pipeline.lock import exclusive

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
            registry = self._registry()
            loaded = self._runtime.fingerprint()
            if not registry.owners:
                self._stop()
                return False
            self._follow(registry)
            return loaded is None

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
            registry = self._registry().register(owner, group, target)
            self._save(registry)
            self._observe(registry, owner, group)

    def deregister(self, owner: str, group: str, target_id: str) -> None:
        """Send a target no more requests. What is in flight goes on. Read back before this returns."""
        with self._locked():
            registry = self._registry().move(owner, group, target_id, Phase.DRAINING)
            self._save(registry)
            _, servers = self._observe(registry, owner, group)
            if target_id in servers and not servers[target_id].in_maintenance:
                raise BalancerFault(f"HAProxy still sends requests to {target_id} after it was told not to")

    def cut(self, owner: str, group: str, target_id: str) -> None:
        """Break what is still in flight to a target."""
        with self._locked():
            self._runtime.cut(backend_name(owner, group), target_id)

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
        used = any(
            listener.default_action.forward == group
            for balancer in declaration.load_balancers.values()
            for listener in balancer.listeners
        )
        return tuple(
            judge(
                r,
                servers.get(r.target.id),
                used=used,
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
        wanted = registry.declare(owner, declaration)
        _refuse_taken_ports(registry, wanted)
        objection = process.check(self.directory, render(wanted))
        if objection:
            raise ConfigError(f"HAProxy refuses the balancer of {owner}: {objection}")
        return wanted

    def _follow(self, registry: Registry) -> None:
        """Make HAProxy run `registry`: start it, reload it, or find that it does already."""
        loaded = self._runtime.fingerprint()
        if loaded == fingerprint(registry):
            return
        # What is known of the servers of one that has died is as old as the crash: they begin as up, and the checks
        # find out.
        self._write(STATE_FILE, "" if loaded is None else self._runtime.state())
        self._write(process.CONFIGURATION, render(registry))
        if loaded is None:
            process.start(self.directory)
        else:
            refusal = self._runtime.reload()
            if refusal is not None:
                raise BalancerFault(f"HAProxy did not take its new configuration: {refusal}")
        for owner, owned in registry.owners.items():
            for group in owned.targets:
                self._observe(registry, owner, group)

    def _observe(self, registry: Registry, owner: str, group: str) -> tuple[Registry, dict[str, Server]]:
        """Make HAProxy's servers of one group agree with the registry, and say how they are."""
        backend = backend_name(owner, group)
        try:
            servers = self._runtime.servers(backend)
        except NotRunning:
            self._follow(registry)
            servers = self._runtime.servers(backend)
        changed = False
        for registration in registry.registrations(owner, group):
            server = servers.get(registration.target.id)
            if registration.phase is Phase.INITIAL and server and server.has_passed:
                registry = registry.move(owner, group, registration.target.id, Phase.IN_SERVICE)
                registration = _find(registry, owner, group, registration.target.id)
            changed |= self._agree(registry, owner, group, registration, server)
        for stranger in set(servers) - {r.target.id for r in registry.registrations(owner, group)}:
            self._runtime.disable(backend, stranger)
            self._runtime.delete(backend, stranger)
            changed = True
        if changed:
            servers = self._runtime.servers(backend)
            self._save(registry)
        return registry, servers

    def _agree(
        self, registry: Registry, owner: str, group: str, registration: Registration, server: Server | None
    ) -> bool:
        """Bring one server to its registration's phase. True when something was changed."""
        backend, name = backend_name(owner, group), registration.target.id
        if registration.phase is Phase.DRAINING:
            if server is None or server.in_maintenance:
                return False
            self._runtime.disable(backend, name)
            return True
        if server is None:
            declared = registry.owners[owner].declaration.target_groups[group]
            self._runtime.add(backend, server_line(registration, declared))
        if registration.phase is Phase.IN_SERVICE and (server is None or server.in_maintenance):
            self._runtime.enable(backend, name)
            return True
        return server is None

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


def _listeners(registry: Registry) -> dict[int, tuple[str, str]]:
    """Port → (what declares it, the address it is bound to)."""
    return {
        listener.port: (
            f"load balancer {name} of {owner}",
            "" if balancer.scheme == "internet-facing" else "127.0.0.1",
        )
        for owner, owned in registry.owners.items()
        for name, balancer in owned.declaration.load_balancers.items()
        for listener in balancer.listeners
    }


def _refuse_taken_ports(former: Registry, wanted: Registry) -> None:
    """Find out before anything is changed that another program listens on a port that is new to us."""
    known = _listeners(former)
    for port, (declared_by, address) in _listeners(wanted).items():
        if port in known:
            continue
        with socket.socket() as probe:
            # As HAProxy does: connections of a former listener that are still closing are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                raise _port_refused(port, declared_by, error) from error


def _port_refused(port: int, declared_by: str, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"port {port} of {declared_by} is taken by another program",
            hint=f"find it with: ss -ltnp 'sport = :{port}', or give the listener another port",
        )
    if error.errno == errno.EACCES:
        return ConfigError(f"port {port} of {declared_by} needs root: it is below 1024", hint="use a port from 1024 on")
    return ConfigError(f"port {port} of {declared_by} cannot be used: {error.strerror}")
