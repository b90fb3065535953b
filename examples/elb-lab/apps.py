"""An ALB with two servers in a network whose only way out is a gateway: `apps.py start`, `register` and `stop`.

`start` makes the network namespace, and starts servers and ALB in it. `register` makes the ALB a target of the NLB.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer

if "PENSTOCK_HOME" not in os.environ:
    sys.exit("read env.sh into your shell first: . ./env.sh")

NETWORK = "elb-lab-apps"
NAMESPACE = Path("/run/netns") / NETWORK
ALB, SERVERS = "198.18.3.10", ("198.18.3.101", "198.18.3.102")
ALB_PORT, PORT = 8800, 8080
NLB_OWNER, NLB_GROUP = "gateway", "albs"
OWNER, GROUP = "apps", "web"
DECLARATION = {
    "target_groups": {GROUP: {"port": PORT, "health_check": {"path": "/health", "interval": "500ms"}}},
    "load_balancers": {
        "alb": {"address": ALB, "listeners": [{"port": ALB_PORT, "default_action": {"forward": GROUP}}]}
    },
}
SERVER = Path(__file__).resolve().parent / "app" / "app.py"
HOME = Path(os.environ["PENSTOCK_HOME"])
# The ALB is a balancer of its own, as it would be on another machine.
APPS_BALANCER = HOME.parent / "apps-balancer"
WAIT = timedelta(seconds=30)


def start() -> None:
    """Make the network, and start the servers and the ALB in it. Safe to repeat."""
    if not NAMESPACE.exists():
        _run("ip", "netns", "add", NETWORK)
    _run("ip", "-netns", NETWORK, "link", "set", "lo", "up")
    for address in (ALB, *SERVERS):
        _run("ip", "-netns", NETWORK, "address", "replace", f"{address}/32", "dev", "lo")
    _run(*_inside("start-inside"))


def start_inside() -> None:
    """Start the servers and the ALB in the network of this process."""
    end_servers()
    targets = [Target(id=f"app-{n}", address=address, port=PORT) for n, address in enumerate(SERVERS, 1)]
    for target in targets:
        subprocess.Popen(
            [sys.executable, SERVER],
            env={
                **os.environ,
                "SERVICE": OWNER,
                "NAME": target.id,
                "ADDRESS": target.address,
                "PORT": str(PORT),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    balancer = open_balancer(APPS_BALANCER)
    balancer.apply(OWNER, Declaration.model_validate(DECLARATION))
    balancer.register(OWNER, GROUP, *targets)
    balancer.wait_healthy(OWNER, GROUP, WAIT)
    print(f"the ALB and {len(targets)} servers are ready")


def register() -> None:
    """Make the ALB a target of the NLB, and wait until its health checks pass. They pass an appliance too."""
    balancer = open_balancer(HOME / "balancer")
    balancer.register(NLB_OWNER, NLB_GROUP, Target(id="alb", address=ALB, port=ALB_PORT))
    balancer.wait_healthy(NLB_OWNER, NLB_GROUP, WAIT)
    print("the ALB is healthy")


def stop() -> None:
    """Deregister the ALB, end it and the servers, and remove the network. Safe to repeat."""
    balancer = open_balancer(HOME / "balancer")
    for health in balancer.target_health(NLB_OWNER, NLB_GROUP):
        balancer.deregister(NLB_OWNER, NLB_GROUP, health.target.id)
        balancer.remove_target(NLB_OWNER, NLB_GROUP, health.target.id)
    ended = 0
    if NAMESPACE.exists():
        ended = len(_processes())
        _run(*_inside("stop-inside"))
        _run("ip", "netns", "delete", NETWORK)
    print(f"{ended} servers ended")


def stop_inside() -> None:
    """End the ALB and the servers in the network of this process."""
    open_balancer(APPS_BALANCER).withdraw(OWNER)
    end_servers()


def end_servers() -> None:
    """End the servers that `start` has started."""
    for pid in _processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _processes() -> list[int]:
    """Return the processes of the servers in the network."""
    inside = subprocess.run(["ip", "netns", "pids", NETWORK], capture_output=True, text=True, check=True).stdout.split()
    return [int(pid) for pid in inside if _is_server(pid)]


def _is_server(pid: str) -> bool:
    try:
        return bytes(SERVER) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        # It has ended meanwhile.
        return False


def _inside(command: str) -> tuple[str, ...]:
    return ("nsenter", f"--net={NAMESPACE}", sys.executable, __file__, command)


def _run(*command: str) -> None:
    if code := subprocess.run(command, check=False).returncode:
        sys.exit(code)


COMMANDS = {
    "start": start,
    "register": register,
    "stop": stop,
    "start-inside": start_inside,
    "stop-inside": stop_inside,
}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit("usage: apps.py start|register|stop")
    COMMANDS[sys.argv[1]]()
