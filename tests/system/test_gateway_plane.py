"""The data plane of gateway load balancers: what survives what, and what is left when it ends."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.balancer.gateway.process import gateway_agent
from pipeline.balancer.planes import open_monitor
from pipeline.base.clock import SystemClock
from pipeline.daemon.balancer_supervisor import BalancerSupervisor
from tests.support.namespace import obstacle
from tests.support.waiting import COMMAND_TIMEOUT, DEADLINE, until
from tests.system.gateway_lab import OWNER, GatewayPlaneLab

pytestmark = pytest.mark.skipif(bool(obstacle()), reason=obstacle())
PORTS = range(30000, 30008)
# Kills the process before step N / 2, or after it if N is odd.
_KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from pipeline.balancer.agent.requests import AgentClient
from pipeline.balancer.agent.wanted_file import WantedFile
from pipeline.balancer.attachments.attachments import Attachments
from pipeline.balancer.companion import Companion
from pipeline.balancer.planes import open_balancer

directory, do, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
steps = 0

def counted(kind, name):
    original = getattr(kind, name)
    def step(*arguments, **keywords):
        global steps
        steps += 1
        number = steps
        if 2 * number == last:
            os.kill(os.getpid(), signal.SIGKILL)
        found = original(*arguments, **keywords)
        if 2 * number + 1 == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    setattr(kind, name, step)

for kind, name in ((WantedFile, "write"), (WantedFile, "remove"), (Attachments, "attached"),
                   (Attachments, "detach_all"), (Companion, "ensure_current"), (Companion, "stop"),
                   (AgentClient, "ask")):
    counted(kind, name)
balancer = open_balancer(Path(directory))
if do == "apply":
    balancer.apply("security", pickle.load(sys.stdin.buffer))
else:
    balancer.withdraw("security")
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[GatewayPlaneLab]:
    """The machines. Nothing is declared."""
    lab = GatewayPlaneLab(tmp_path / "balancer")
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def carried(lab: GatewayPlaneLab) -> GatewayPlaneLab:
    """A gateway load balancer with two healthy appliances."""
    lab.apply()
    lab.register()
    return lab


def test_agent_that_is_killed(carried: GatewayPlaneLab) -> None:
    """Flows go on, also new ones. The next reconciliation starts another agent, which has the rights that it needs."""
    before, agent = carried.chosen(PORTS), carried.agent()
    assert agent is not None
    status = Path(f"/proc/{agent}/status").read_text().splitlines()
    rights = {line.split()[1] for line in status if line.startswith(("CapEff:", "CapPrm:", "CapBnd:"))}
    # CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_NET_ADMIN and CAP_BPF.
    assert rights == {"000000800000100b"}
    assert _responds(carried)
    os.kill(agent, signal.SIGKILL)
    until(lambda: not _responds(carried), "the daemon notices it")
    assert carried.chosen(PORTS) == before
    assert set(carried.chosen(range(31000, 31012)).values()) == {1, 2}
    carried.await_healthy()
    assert carried.agent() not in (None, agent)
    assert carried.chosen(PORTS) == before


def test_agent_that_is_killed_while_the_daemon_runs(carried: GatewayPlaneLab) -> None:
    """It is back without waiting for the next round, which is in an hour."""
    former = gateway_agent(carried.directory).running()
    assert former is not None
    monitor = open_monitor(carried.directory)
    with carried.opened() as balancer:
        hour = timedelta(hours=1)
        supervisor = BalancerSupervisor(balancer, lambda *_: None, SystemClock(), hour, monitor=monitor)

    def supervise() -> None:
        with carried.opened():
            supervisor.run_forever()

    working = threading.Thread(target=supervise)
    working.start()
    try:
        # Before that, only the next round would notice.
        until(lambda: _has_descriptor_of(former), "the supervisor watches the agent")
        os.kill(former, signal.SIGKILL)
        until(lambda: gateway_agent(carried.directory).running() not in (None, former), "another agent")
    finally:
        supervisor.stop()
        # It waits for the exit of this process too.
        with carried.opened() as balancer:
            os.kill(balancer.pid() or 0, signal.SIGKILL)
        working.join(DEADLINE)
    assert not working.is_alive()


def _has_descriptor_of(pid: int) -> bool:
    """Return whether this process has a descriptor for another one."""
    for each in Path("/proc/self/fdinfo").iterdir():
        with suppress(FileNotFoundError):
            if f"\nPid:\t{pid}\n" in each.read_text():
                return True
    return False


def test_agent_that_is_stopped_is_continued(carried: GatewayPlaneLab) -> None:
    agent = carried.agent()
    assert agent is not None
    os.kill(agent, signal.SIGSTOP)
    with carried.opened() as balancer:
        until(lambda: agent in balancer.resume(), "the agent is continued")
    assert carried.agent() == agent


def _responds(lab: GatewayPlaneLab) -> bool:
    """Return what the daemon asks every second."""
    with lab.machine.entered():
        return open_monitor(lab.directory).is_responding()


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_text("{")])
def test_lost_file_of_what_is_wanted(damage: Callable[[Path], object], carried: GatewayPlaneLab) -> None:
    """The next reconciliation writes it again. Flows stay."""
    before = carried.chosen(PORTS)
    file = carried.directory / "gateway.json"
    content = file.read_text()
    damage(file)
    carried.await_healthy()
    assert file.read_text() == content
    assert carried.chosen(PORTS) == before


@pytest.mark.parametrize("side", ["machine", "clients"])
def test_device_that_another_program_removes(side: str, carried: GatewayPlaneLab) -> None:
    """The next reconciliation attaches the network again, and flows go on with their appliances."""
    before = carried.chosen(PORTS)
    place = carried.machine if side == "machine" else carried.client
    names = [line.split(": ")[1].split("@")[0] for line in place.run("ip", "-oneline", "link").splitlines()]
    device = next(name for name in names if name.startswith("gwlb") and not name.startswith("gwlbg"))
    place.ip(f"link del {device}")
    assert not _responds(carried)
    carried.await_healthy()
    assert carried.chosen(PORTS) == before


def test_programs_that_another_program_removes(carried: GatewayPlaneLab) -> None:
    """The agent attaches them again within seconds, without a command of Penstock."""
    before = carried.chosen(PORTS)
    filters = carried.machine.run("tc", "filter", "show", "dev", "appliances", "ingress")
    assert filters
    carried.machine.run("tc", "qdisc", "del", "dev", "appliances", "clsact")
    until(
        lambda: "clsact" in carried.machine.run("tc", "qdisc", "show", "dev", "appliances"),
        "the programs are attached again",
    )
    assert carried.chosen(PORTS) == before


def test_nothing_is_left(lab: GatewayPlaneLab) -> None:
    before = lab.traces()
    lab.apply()
    lab.register()
    lab.chosen(PORTS)
    assert lab.traces() != before
    lab.end()
    assert lab.traces() == before
    assert lab.agent() is None
    assert not [*lab.directory.glob("gateway*.json")]


@pytest.mark.long
@pytest.mark.parametrize("do", ["apply", "withdraw"])
@pytest.mark.parametrize("step", range(2, 18))
def test_process_that_is_killed_at_a_step(do: str, step: int, lab: GatewayPlaneLab) -> None:
    """The next reconciliation completes what it has begun."""
    before = lab.traces()
    if do == "withdraw":
        lab.apply()
        lab.register()
    _killed(lab, do, step)
    if do == "apply":
        lab.apply()
        lab.register()
        assert set(lab.chosen(PORTS).values()) == {1, 2}
    else:
        with lab.opened() as balancer:
            balancer.reconcile()
    lab.end()
    assert lab.traces() == before
    assert lab.agent() is None


def _killed(lab: GatewayPlaneLab, do: str, step: int) -> None:
    declaration = pickle.dumps(lab.declaration()) if do == "apply" else b""
    command = [sys.executable, "-c", _KILLED, str(lab.directory), do, str(step)]
    with lab.machine.entered():
        done = subprocess.run(command, input=declaration, check=False, timeout=COMMAND_TIMEOUT)
    assert done.returncode in (0, -signal.SIGKILL)


def test_process_without_the_right(lab: GatewayPlaneLab) -> None:
    """It is told what to grant, and nothing is made."""
    before = lab.traces()
    code = (
        "import pickle, sys; from pathlib import Path; from pipeline.balancer.planes import open_balancer\n"
        "from pipeline.base.errors import ConfigError\n"
        f"try: open_balancer(Path(sys.argv[1])).check('{OWNER}', pickle.load(sys.stdin.buffer))\n"
        "except ConfigError as error: print(error.message, '|', error.hint)"
    )
    command = ["setpriv", "--bounding-set=-sys_admin", sys.executable, "-c", code, str(lab.directory)]
    with lab.machine.entered():
        done = subprocess.run(
            command, input=pickle.dumps(lab.declaration()), stdout=subprocess.PIPE, check=True, timeout=COMMAND_TIMEOUT
        )
    assert done.stdout.decode().startswith(
        "endpoint office of security: a gateway load balancer needs CAP_SYS_ADMIN, which this process does not have | "
        "run as root, or grant CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN"
    )
    assert lab.traces() == before
    assert not gateway_agent(lab.directory).is_started()
