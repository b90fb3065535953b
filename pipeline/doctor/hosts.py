"""The hosts of the pipeline: their engine, clock, disk, and the address at which the balancer reaches them."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from pipeline.base.errors import EngineFault
from pipeline.base.sockets import free_port
from pipeline.doctor.check import Check
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.engine import described
from pipeline.doctor.finding import Finding
from pipeline.doctor.home_folder import free_space
from pipeline.engine.host import LOCAL, HostSpec
from pipeline.engine.hosts import check_tunnel_path, command_on_host, host_engine, with_address
from pipeline.engine.interfaces import EngineDescription

_HOME = "doctor"
# In seconds. Events of hosts are ordered by their clocks.
_CLOCK_TOLERANCE = 2.0
_CONNECT_TIMEOUT = 3.0
_CLEANUP_TIMEOUT, _POLL_INTERVAL = 5.0, 0.02
# The free kilobytes of the disk, then a line for each address.
_SCRIPT = "df -Pk -- {folder} | tail -n 1 && {{ ip -o address 2>/dev/null || hostname -I; }}"
# `ip` names these beside an address of the machine.
_OTHER_ENDS = re.compile(r" (brd|peer) \S+")


class _Machine(NamedTuple):
    """What a command on a host says of its machine."""

    free: int
    addresses: frozenset[str]

    @classmethod
    def from_output(cls, text: str) -> _Machine:
        disk, *lines = text.splitlines()
        words = (word.partition("/")[0] for line in lines for word in _OTHER_ENDS.sub("", line).split())
        return cls(int(disk.split()[-3]) * 1024, frozenset(word for word in words if _is_address(word)))


def host_checks(context: DoctorContext) -> Iterator[Check]:
    """Yield a check for each host of the file."""
    cluster = context.configuration.pipeline.deploy.cluster if context.configuration else None
    for host in cluster.hosts if cluster else ():
        yield Check(f"host {host.name}", partial(_host, context, host.spec))


def _host(context: DoctorContext, spec: HostSpec) -> Iterator[Finding]:
    check = f"host {spec.name}"
    try:
        yield from _found(check, context, spec)
    except EngineFault as fault:
        # The finding has its name already.
        text = re.sub(rf"^{check}( \([^)]*\))?: ", "", fault.message)
        yield Finding.failed(check, text, fault.hint or "")


def _found(check: str, context: DoctorContext, spec: HostSpec) -> Iterator[Finding]:
    # That of the home is not used, so that nothing changes, but commands use it.
    check_tunnel_path(spec, context.home.hosts)
    with _own_tunnels() as folder, host_engine(spec, _HOME, folder, context.environment) as engine:
        asked = datetime.now(UTC)
        found = engine.describe()
        answered = datetime.now(UTC)
    yield described(check, found)
    yield from differences(check, found, context)
    yield clock_difference(check, found.clock - answered, answered - asked)
    machine = _Machine.from_output(
        command_on_host(spec, _SCRIPT.format(folder=shlex.quote(found.folder)), context.environment)
    )
    yield free_space(check, machine.free, f"{found.folder} there")
    address = with_address(spec, context.environment).address
    yield binds(check, address, machine.addresses)
    if spec.docker != LOCAL and ip_address(address).is_loopback:
        text = f"{address} is this machine for the balancer, so it reaches no replica on another one"
        yield Finding.warning(check, text, "set `address` of the host, or use `docker: local` for this machine")
    yield reached(check, address, free_port())


@contextmanager
def _own_tunnels() -> Iterator[Path]:
    """Yield a folder for a tunnel, so that nothing in the home changes."""
    # It is removed at the exit, if this check has not ended until then.
    temporary = tempfile.TemporaryDirectory(prefix="penstock-", ignore_cleanup_errors=True)
    folder = Path(temporary.name)
    try:
        yield folder
    finally:
        deadline = time.monotonic() + _CLEANUP_TIMEOUT
        # The keeper of the tunnel ends soon after its last user, and may write until then.
        while folder.exists() and time.monotonic() < deadline:
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(_POLL_INTERVAL)
        temporary.cleanup()


def differences(check: str, found: EngineDescription, context: DoctorContext) -> Iterator[Finding]:
    """Yield why images of this machine do not run there, or have another id there."""
    with host_engine(HostSpec(_HOME), _HOME, environment=context.environment) as engine:
        here = engine.describe()
    if found.platform != here.platform:
        text = f"images are built for {here.platform}, and this host is {found.platform}"
        yield Finding.failed(check, text, "use hosts of one platform")
    if found.has_own_ids != here.has_own_ids:
        text = "its image store differs from that of this machine, so images get another id there"
        yield Finding.failed(check, text, "set `containerd-snapshotter` alike in /etc/docker/daemon.json of both")


def clock_difference(check: str, ahead: timedelta, uncertain: timedelta) -> Finding:
    """Return the finding for a clock that is so far ahead of the time at which its answer came."""
    seconds = ahead.total_seconds()
    # The clock was read at some time during the call.
    surely = max(0.0, abs(seconds + uncertain.total_seconds() / 2) - uncertain.total_seconds() / 2)
    if surely <= _CLOCK_TOLERANCE:
        return Finding.ok(check, "its clock agrees with that of this machine")
    text = f"its clock is {surely:.0f} s {'ahead' if seconds > 0 else 'behind'}"
    return Finding.warning(check, text, "timedatectl set-ntp true, there and here")


def binds(check: str, address: str, addresses: frozenset[str]) -> Finding:
    """Return whether Docker there can publish ports at an address. `addresses` are those of the machine."""
    if address in addresses:
        return Finding.ok(check, f"{address} is an address of the host")
    known = [each for each in addresses if not (ip_address(each).is_loopback or ip_address(each).is_link_local)]
    others = ", ".join(sorted(known)) or "none"
    text = f"{address} is no address of the host, so Docker there cannot publish ports at it"
    return Finding.failed(check, text, f"set `address` of the host to one that it has: {others}")


def reached(check: str, address: str, port: int) -> Finding:
    """Return whether this machine reaches an address. A refused connection shows it as well as an accepted one."""
    try:
        socket.create_connection((address, port), _CONNECT_TIMEOUT).close()
    except ConnectionRefusedError:
        pass
    except TimeoutError:
        text = f"no answer from {address} at port {port} within {_CONNECT_TIMEOUT:g} s"
        hint = "open the ports from 10000 to 32767 of the host for this machine, unless its firewall hides unused ones"
        return Finding.warning(check, text, hint)
    except OSError as error:
        text = f"the balancer does not reach {address}: {error.strerror or error}"
        return Finding.failed(check, text, "set `address` of the host to one that this machine reaches")
    return Finding.ok(check, f"the balancer reaches {address}")


def _is_address(word: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, word)
        except OSError:
            continue
        return True
    return False
