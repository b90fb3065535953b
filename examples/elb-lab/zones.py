"""Ten servers for the NLB, two in zone-a and eight in zone-b: `zones.py start` and `zones.py stop`.

Each is a process of app/app.py with its own address. They are registered with the balancer from Python.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from pipeline.balancer.model import Target
from pipeline.balancer.planes import open_balancer

if "PENSTOCK_HOME" not in os.environ:
    sys.exit("read env.sh into your shell first: . ./env.sh")

OWNER, GROUP, PORT = "nlb", "servers", 9000
SERVER = Path(__file__).resolve().parent / "app" / "app.py"
HOME = Path(os.environ["PENSTOCK_HOME"])
PIDS = HOME.parent / "servers.pids"

TARGETS = [
    Target(id=f"{zone}-{n}", address=f"198.18.{net}.{100 + n}", port=PORT, zone=zone)
    for zone, net, servers in (("zone-a", 1, 2), ("zone-b", 2, 8))
    for n in range(1, servers + 1)
]


def start() -> None:
    """Start the servers, register them, and wait until all of them pass their health checks. Safe to repeat."""
    end_servers()
    PIDS.write_text("\n".join(str(start_server(target)) for target in TARGETS))
    balancer = open_balancer(HOME / "balancer")
    balancer.register(OWNER, GROUP, *TARGETS)
    balancer.wait_healthy(OWNER, GROUP, timedelta(seconds=30))
    print(f"{len(TARGETS)} servers are healthy")


def stop() -> None:
    """Deregister the servers and end them. Safe to repeat."""
    balancer = open_balancer(HOME / "balancer")
    registered = [health.target.id for health in balancer.target_health(OWNER, GROUP)]
    for name in registered:
        balancer.deregister(OWNER, GROUP, name)
        balancer.remove_target(OWNER, GROUP, name)
    print(f"{len(registered)} targets removed, {end_servers()} servers ended")


def start_server(target: Target) -> int:
    """Start a server and return its process id."""
    return subprocess.Popen(
        [sys.executable, SERVER],
        env={**os.environ, "NAME": target.id, "ADDRESS": target.address, "PORT": str(target.port)},
        # It outlives this command, and a reader of this command's output waits until all writers have closed it.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ).pid


def end_servers() -> int:
    """End the servers that `start` has started, and return how many there were."""
    pids = PIDS.read_text().split() if PIDS.exists() else []
    for pid in pids:
        with suppress(OSError):
            # After a reboot, the number may be another process's.
            if bytes(SERVER) in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(int(pid), signal.SIGTERM)
    PIDS.unlink(missing_ok=True)
    return len(pids)


if __name__ == "__main__":
    if sys.argv[1:] not in (["start"], ["stop"]):
        sys.exit("usage: zones.py start|stop")
    start() if sys.argv[1] == "start" else stop()
