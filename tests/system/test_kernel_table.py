"""The table of the kernel plane beside the rules of others, under load, and after somebody changed it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.balancer.kernel import netlink
from pipeline.balancer.kernel.flow import FlowGroup, FlowState
from pipeline.balancer.kernel.nft_child import open_library
from pipeline.balancer.kernel.table import KernelTable
from tests.support.paths import ROOT
from tests.support.waiting import COMMAND_TIMEOUT, until
from tests.system.flow_lab import FlowLab, ask, listener, retransmissions, state, target

# What Docker and a user have, with the forms that nft prints in its own way.
OTHERS = """
table ip nat {
  chain PREROUTING { type nat hook prerouting priority dstnat; tcp dport 81 counter dnat to 10.60.2.10:80; }
}
table inet user {
  set s { type ipv4_addr; flags interval; elements = { 10.9.0.0/16 }; }
  chain forward { type filter hook forward priority filter; ip saddr @s drop; }
}
table inet penstock_aaaaaaaaaaaa { chain x { type nat hook output priority 0; }; }
"""
TABLE = "penstock_0123456789ab"
STATES = (
    state(0),
    state(0, 1, 2, 3),
    state(0, 2, draining=[1, 3]),
    state(),
    FlowState((listener([FlowGroup(2, (target(0), target(1))), FlowGroup(1, (target(2),))], "udp", idle=120),)),
    FlowState(
        (listener([FlowGroup(1, (target(0, 6), target(1, 6)))], version=6, stickiness="source"), *state(3).listeners)
    ),
    FlowState(),
)


def listing(lab: FlowLab, table: str = TABLE) -> str:
    """A table as nft prints it, without the values of its counters."""
    return lab.balancer.run("nft", "-s", "list", "table", "inet", table)


def test_changes_lose_no_connection(lab: FlowLab) -> None:
    """Of 8,000 connections, none fails or repeats a packet while the targets change all the time.

    That is far more than 300 a second over 100 changes, because a packet that meets a change on its way is rare: rules
    without their fallback lose one connection in some thousands.
    """
    lab.apply(state(0, 1, 2))
    failures, repeated, is_over = list[OSError](), list[int](), threading.Event()

    def connect() -> None:
        while not is_over.is_set():
            try:
                with lab.open() as flow:
                    repeated.append(retransmissions(flow))
                    ask(flow)
            except OSError as error:
                failures.append(error)

    client = threading.Thread(target=connect)
    client.start()
    changes = 0
    try:
        while changes < 100 or len(repeated) + len(failures) < 8000:
            lab.apply(state(*((changes + number) % 4 for number in range(3))))
            changes += 1
    finally:
        is_over.set()
        client.join()
    assert failures == []
    assert sum(repeated) == 0


def test_change_leads_where_a_new_table_would(lab: FlowLab, tmp_path: Path) -> None:
    """After each change, the table is what it would be if it had been made new. nft can list and load it."""
    for number, wanted in enumerate(STATES):
        lab.apply(wanted)
        # A target that is not wanted any more stays until the next change.
        lab.apply(wanted)
        (other := tmp_path / str(number)).mkdir()
        fresh = KernelTable(other, "ffffffffffff")
        with lab.balancer.entered():
            fresh.apply(wanted)
        assert _parts(listing(lab, fresh.name)) == _parts(listing(lab))
        json.loads(lab.balancer.run("nft", "-j", "list", "ruleset"))
        with lab.balancer.entered():
            fresh.remove()
            fresh.close()
            assert lab.table.is_intact()


@pytest.mark.parametrize(
    "damage",
    [
        "flush ruleset",
        f"delete table inet {TABLE}",
        f"flush table inet {TABLE}",
        f"flush chain inet {TABLE} dispatch",
        f"add rule inet {TABLE} dispatch drop",
        f"add chain inet {TABLE} theirs {{ type filter hook prerouting priority 0; }}",
        f"delete table inet {TABLE}; add table inet {TABLE}; "
        f"add chain inet {TABLE} prerouting {{ type filter hook input priority 9; }}",
    ],
)
def test_damage_is_noticed_and_mended(lab: FlowLab, damage: str) -> None:
    """A change of the table by another program is reported within a second. `apply` brings the same table back."""
    lab.apply(state(0, 1))
    before = listing(lab)
    with lab.balancer.entered():
        assert lab.table.is_intact()
        reports = lab.table.fileno()
    lab.balancer.nft(damage)
    assert select.select([reports], [], [], 1)[0]
    assert not lab.table.is_intact()
    lab.apply(state(0, 1))
    assert lab.table.is_intact()
    assert listing(lab) == before
    with lab.open() as flow:
        ask(flow)


def test_rules_of_others_stay(lab: FlowLab) -> None:
    """The rules of other programs are byte for byte the same after each change, and their changes are no damage."""
    lab.balancer.nft(OTHERS)
    before = lab.balancer.run("nft", "-s", "list", "ruleset")
    for wanted in (*STATES, state(1)):
        lab.apply(wanted)
        assert lab.balancer.run("nft", "-s", "list", "ruleset").replace(listing(lab), "") == before
    lab.balancer.nft("add chain inet user theirs")
    assert lab.table.is_intact()
    lab.balancer.nft("delete chain inet user theirs")
    with lab.balancer.entered():
        lab.table.remove()
    assert lab.balancer.run("nft", "-s", "list", "ruleset") == before


def test_lost_reports_are_made_up_for(lab: FlowLab, tmp_path: Path) -> None:
    """If reports are lost, the number of the last change tells whether the table may have been changed."""
    with lab.balancer.entered():
        table = KernelTable(tmp_path, "ffffffffffff", buffer=1)
        table.apply(FlowState((listener([FlowGroup(1, tuple(map(target, range(4)))), FlowGroup(1, ())]),)))
        for wanted in STATES:
            table.apply(wanted)
            assert table.is_intact()
        many = ", ".join(f"10.1.{number // 250}.{number % 250}" for number in range(1000))
        lab.balancer.nft(f"add table inet user; add set inet user s {{ type ipv4_addr; elements = {{ {many} }}; }}")
        assert not table.is_intact()
        table.apply(STATES[1])
        assert table.is_intact()
        table.close()


def test_kernel_refuses_a_request(lab: FlowLab) -> None:
    """A request that the kernel does not know raises the error that the kernel reports."""
    with lab.balancer.entered(), netlink.open_socket() as opened, pytest.raises(OSError, match="Invalid argument"):
        next(netlink.request(opened, 0xFF01, netlink.ACKNOWLEDGE))


def test_library_runs_scripts(lab: FlowLab) -> None:
    """The library returns the output of a script that succeeds, and the reason of one that does not."""
    with lab.balancer.entered():
        run = open_library()
        assert run(b"add table inet user") == (0, b"")
        assert run(b"list tables") == (0, b"table inet user\n")
        status, text = run(b"add chain inet none x")
    assert status == -1
    assert b"No such file or directory" in text


def test_another_process_adopts_the_table(lab: FlowLab, tmp_path: Path) -> None:
    """A process that wants the state that another one made changes nothing, and both take the table for intact."""
    lab.apply(state(0, 1))
    before = lab.balancer.run("nft", "--handle", "list", "ruleset")
    with lab.balancer.entered():
        other = KernelTable(tmp_path, "0123456789ab")
        other.apply(state(0, 1))
        assert other.is_intact()
        assert lab.balancer.run("nft", "--handle", "list", "ruleset") == before
        other.apply(state(1))
        assert not lab.table.is_intact()
        lab.table.apply(state(1))
        assert lab.table.is_intact()
        assert other.is_intact()
        other.close()


def test_flows_keep_everything_when_the_table_is_replaced(lab: FlowLab, tmp_path: Path) -> None:
    """A process that does not know the table replaces its rules. Open flows, counters and idle times stay."""
    lab.apply(state(0, draining=[1]))
    with lab.open() as flow, lab.balancer.entered():
        ask(flow)
        (tmp_path / "kernel-table.json").unlink()
        other = KernelTable(tmp_path, "0123456789ab")
        other.apply(state(1, draining=[0]))
        assert ask(flow)[0] == str(target(0).address)
        assert other.traffic()[target(0).mark].flows == 1
        assert other.traffic()[target(0).mark].bytes > 400
        other.close()
    assert "established : 350" in listing(lab)


def test_last_listener_leaves_flows_alone(lab: FlowLab) -> None:
    """A flow continues when nothing is wanted any more, although no other table keeps conntrack on."""
    lab.apply(state(0))
    with lab.open() as flow:
        ask(flow)
        lab.apply(FlowState())
        ask(flow)
        with pytest.raises(ConnectionRefusedError):
            lab.open()


def test_child_is_started_again(lab: FlowLab) -> None:
    """If the process that runs nft is killed, the next change starts another."""
    lab.apply(state(0))
    pid = _child()
    os.kill(pid, signal.SIGKILL)
    until(lambda: ") Z " in Path(f"/proc/{pid}/stat").read_text(), "its end")
    lab.apply(state(1))
    with lab.open() as flow:
        assert ask(flow)[0] == str(target(1).address)


def test_without_the_right(tmp_path: Path) -> None:
    """A process without CAP_NET_ADMIN gets an error that says what to grant."""
    program = """
import sys
from pathlib import Path
from pipeline.balancer.kernel.conntrack import count_flows, cut_flows
from pipeline.balancer.kernel.flow import MARK_PREFIX, FlowState
from pipeline.balancer.kernel.nft import Nft
from pipeline.balancer.kernel.table import KernelTable
from pipeline.base.errors import BalancerFault
table = KernelTable(Path(sys.argv[1]), "0123456789ab")
apply, cut, run = lambda: table.apply(FlowState()), lambda: cut_flows(MARK_PREFIX + 1), lambda: Nft().run("add table x")
for call in (apply, cut, run, count_flows):
    try:
        call()
        print("done")
    except BalancerFault as fault:
        print(fault)
"""
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT)
    if "unshare" in done.stderr:
        pytest.skip(done.stderr)
    lines = done.stdout.splitlines()
    assert lines[::2] == ["nftables: no permission to change rules"] * 4
    assert all("CAP_NET_ADMIN" in line for line in lines[1::2])


def _parts(text: str) -> list[str]:
    """Split a listing into what the table consists of, without time-outs, which stay for the flows that have them."""
    parts = (part.strip("{}\n\t ") for part in text.partition("{")[2].split("\n\n"))
    return sorted(part for part in parts if not part.startswith("ct timeout "))


def _child() -> int:
    """The process that runs nft for this one."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return next(int(pid) for pid in children if b"nft_child" in Path(f"/proc/{pid}/cmdline").read_bytes())
