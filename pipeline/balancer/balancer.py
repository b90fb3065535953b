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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pipeline.balancer.access import AccessLog
from pipeline.balancer.haproxy import process
from pipeline.balancer.haproxy.access_log import HAProxyAccessLog
from pipeline.balancer.haproxy.control_socket import ServerState
from pipeline.balancer.haproxy.data_plane import DataPlane
from pipeline.balancer.haproxy.health import evaluate_health
from pipeline.balancer.haproxy.server_args import is_checked
from pipeline.balancer.haproxy.socket_holder import SocketHolder
from pipeline.balancer.jwks import read_keys, with_keys
from pipeline.balancer.key_set import KeySet
from pipeline.balancer.model import Declaration, Target, TargetHealth
from pipeline.balancer.registry import Phase, Registry
from pipeline.balancer.registry_file import RegistryFile
from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.base.lock import short_lock

MAX_ACCESS_LOG_BYTES = 64 * 2**20
"""A longer access log is emptied, and its end is kept beside it."""


class Balancer:
    """The load balancers and target groups of every owner on this machine, kept in one directory.

    Safe to use from any thread and any process. Raises `BalancerFault` when HAProxy fails and `ConfigError`
    when owners clash.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._file = RegistryFile(directory / "registry.json")
        self._unfinished = directory / "unfinished"
        self._plane = DataPlane(directory)

    def ensure_running(self) -> bool:
        """Make HAProxy run what is declared. True when it had to be started though somebody needed it."""
        keys = read_keys(self.registry())
        with self._locked():
            self._cap_access_log()
            registry = with_keys(self.registry(), keys)
            self._file.write(registry)
            ran = self._plane.runs()
            self._catch_up(registry)
            return bool(registry.owners) and not ran

    def pid(self) -> int | None:
        """The process of HAProxy that ends when it does; None when there is none."""
        return process.running(self.directory)

    def socket_holder(self) -> SocketHolder:
        """What a process that stays has work, so that nobody is refused while HAProxy is started again."""
        return SocketHolder(self.directory)

    def access_log(self) -> AccessLog:
        """Return a new reader of the access log, which starts at the oldest record."""
        return HAProxyAccessLog(self.directory / process.ACCESS_LOG)

    def registry(self) -> Registry:
        """All that is declared, and the targets registered."""
        return self._file.read()

    def declaration(self, owner: str) -> Declaration | None:
        """What `owner` has declared."""
        owned = self.registry().owners.get(owner)
        return owned.declaration if owned else None

    def check(self, owner: str, declaration: Declaration) -> None:
        """Raise what `apply` would raise, and where it would delete what is protected; change nothing.

        Going back to what was must always be possible, so `apply` itself does not ask for protection.
        """
        self.check_deletion_protection(owner, declaration)
        keys = self._keys_for(owner, declaration)
        with self._locked():
            self._checked(owner, declaration, keys)

    def check_deletion_protection(self, owner: str, declaration: Declaration | None = None) -> None:
        """Raise `ConfigError` where a load balancer of `owner` is protected that would not be in `declaration`."""
        declared = self.declaration(owner)
        kept = declaration.load_balancers if declaration else {}
        for name, balancer in declared.load_balancers.items() if declared else ():
            if balancer.attributes.deletion_protection and name not in kept:
                raise ConfigError(
                    f"load balancer {name} of {owner} is protected against deletion",
                    hint="set its attribute deletion_protection.enabled to false and run the pipeline first",
                )

    def apply(self, owner: str, declaration: Declaration) -> None:
        """Make `declaration` all that `owner` has. Its targets stay. On an error everything is as it was."""
        keys = self._keys_for(owner, declaration)
        with self._locked():
            self._cap_access_log()
            former, wanted = self.registry(), self._checked(owner, declaration, keys)
            try:
                self._change(wanted)
            except (BalancerFault, ConfigError):
                self._change(former)
                raise

    def withdraw(self, owner: str) -> None:
        """Forget everything of `owner`. The last owner's leaving ends HAProxy."""
        with self._locked():
            self._change(self.registry().withdraw(owner))

    def register(self, owner: str, group: str, *targets: Target) -> None:
        """Add targets. They are `initial`, without traffic, until their health checks pass."""
        with self._locked():
            former = self.registry()
            registry = former.register(owner, group, targets, ramps=self._is_served(former, owner, group))
            self._file.write(registry)
            self._observe(registry, owner, group)

    def deregister(self, owner: str, group: str, target_id: str) -> None:
        """Send a target no more requests. What is in flight goes on. Read back before this returns."""
        with self._locked():
            registry = self.registry().move(owner, group, target_id, Phase.DRAINING)
            self._file.write(registry)
            self._observe(registry, owner, group)
            if self._plane.gets_requests(registry, owner, group, target_id):
                raise BalancerFault(f"HAProxy still sends requests to {target_id} after it was told not to")

    def abort_connections(self, owner: str, group: str, target_id: str) -> None:
        """Break what is still in flight to a target."""
        with self._locked():
            self._plane.cut(self.registry(), owner, group, target_id)

    def remove_target(self, owner: str, group: str, target_id: str) -> None:
        """Remove a target that was deregistered. Does nothing when it is not there."""
        with self._locked():
            registry = self.registry()
            if owner not in registry.owners:
                return
            kept = tuple(r for r in registry.registrations(owner, group) if r.target.id != target_id)
            registry = registry.with_registrations(owner, group, kept)
            self._file.write(registry)
            self._observe(registry, owner, group)

    def target_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        """What the data plane says of each target of a group. Lets in those whose checks have passed.

        A group that is not declared has no targets.
        """
        with self._locked():
            registry = self.registry()
            if owner not in registry.owners or group not in registry.owners[owner].declaration.target_groups:
                return ()
            registry, servers = self._observe(registry, owner, group)
        declaration = registry.owners[owner].declaration
        used, declared = declaration.uses(group), declaration.target_groups[group]
        return tuple(
            evaluate_health(r, servers.get(r.target.id), used=used, checked=is_checked(r, declared))
            for r in registry.registrations(owner, group)
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with short_lock(self.directory / "lock"):
            yield

    def _change(self, registry: Registry) -> None:
        """Keep what is declared, and have HAProxy follow. Cut short, the next look finishes it."""
        self._unfinished.touch()
        self._file.write(registry)
        self._catch_up(registry)

    def _catch_up(self, registry: Registry) -> None:
        if registry.owners:
            self._plane.follow(registry)
        else:
            self._plane.stop()
        self._unfinished.unlink(missing_ok=True)

    def _observe(self, registry: Registry, owner: str, group: str) -> tuple[Registry, dict[str, ServerState]]:
        if self._unfinished.exists():
            self._catch_up(registry)
        observed, servers = self._plane.observe(registry, owner, group)
        if observed is not registry:
            self._file.write(observed)
        return observed, servers

    def _is_served(self, registry: Registry, owner: str, group: str) -> bool:
        """Whether some target gets its full share, beside which a new one may start slowly."""
        ramp = registry.group(owner, group).attributes.slow_start
        if ramp == 0 or not registry.registrations(owner, group):
            return False
        registry, servers = self._observe(registry, owner, group)
        found = ((known, servers.get(known.target.id)) for known in registry.registrations(owner, group))
        return any(
            server is not None and server.status.startswith("UP") and (not known.ramps or server.age >= ramp)
            for known, server in found
        )

    def _keys_for(self, owner: str, declaration: Declaration) -> dict[str, KeySet]:
        """The keys that `_checked` will need: read before others have to wait for us."""
        registry = self.registry()
        if registry.declares(owner, declaration):
            return {}
        return read_keys(registry.declare(owner, declaration))

    def _checked(self, owner: str, declaration: Declaration, keys: Mapping[str, KeySet]) -> Registry:
        registry = self.registry()
        if registry.declares(owner, declaration):
            return registry
        wanted = with_keys(registry.declare(owner, declaration), keys)
        _check_ports(registry, wanted)
        objection = self._plane.check(wanted)
        if objection:
            raise ConfigError(f"HAProxy refuses the balancer of {owner}: {objection}")
        return wanted

    def _cap_access_log(self) -> None:
        """Keep the end of a long access log beside it. HAProxy appends, so it goes on in the emptied file."""
        log = self.directory / process.ACCESS_LOG
        if log.exists() and log.stat().st_size > MAX_ACCESS_LOG_BYTES:
            former = os.open(log.with_suffix(".log.1"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with log.open("rb") as full, os.fdopen(former, "wb") as kept:
                full.seek(-MAX_ACCESS_LOG_BYTES, os.SEEK_END)
                shutil.copyfileobj(full, kept)
            os.truncate(log, 0)


def _check_ports(former: Registry, wanted: Registry) -> None:
    """Find out before anything is changed that another program listens on a port that is new to us."""
    known = {shared.port for shared in former.listeners()}
    for shared in wanted.listeners():
        if shared.port in known:
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
