"""SIGKILL of HAProxy and of the daemon while a client of ELBv2 makes calls."""

from __future__ import annotations

import http.client
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.testing.load.load import Load
from pipeline.testing.load.profile import LoadProfile
from tests.support.aws_daemon import AwsDaemon, aws_daemon
from tests.support.backend import Backend
from tests.support.waiting import DEADLINE, until
from tests.system.account import POLL, Account, target

KILLS = 2
# Calls that succeed between two kills.
BETWEEN = 3


class Calls(threading.Thread):
    """A client that creates rules and registers targets in turn, and keeps what became of each call.

    `made` has what was answered with success, and `refused` what was answered with an error. A call without an answer
    is in neither.
    """

    def __init__(self, account: Account) -> None:
        super().__init__(daemon=True)
        self.account = account
        self.default, self.group = account.group("web"), account.group("ruled")
        self.listener = account.listener(account.load_balancer(), self.default)
        self._stopping = threading.Event()
        self.asked = 0
        self.made: set[int] = set()
        self.refused: dict[int, str] = {}

    def run(self) -> None:
        while not self._stopping.is_set():
            self.asked += 1
            try:
                if self.asked % 2:
                    self.account.rule(self.listener, self.group, self.asked)
                else:
                    self.account.add(self.group, address(self.asked))
                self.made.add(self.asked)
            except ClientError as error:
                self.refused[self.asked] = str(error)
            except BotoCoreError:
                # The daemon is gone, and may have carried it out.
                self._stopping.wait(0.02)

    def wait(self, number: int = BETWEEN) -> None:
        """Wait until so many further calls have succeeded."""
        wanted = len(self.made) + number
        until(lambda: len(self.made) >= wanted, "further calls succeed", deadline=60)

    def stop(self) -> None:
        """Stop after the present call."""
        self._stopping.set()
        self.join(60)
        assert not self.is_alive()


def address(number: int) -> str:
    return f"127.1.{number // 250}.{number % 250 + 1}"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[AwsDaemon]:
    with aws_daemon(tmp_path) as daemon:
        yield daemon


@pytest.fixture
def calls(daemon: AwsDaemon) -> Calls:
    return Calls(Account(daemon.server.client("elbv2"), daemon.server.client("ec2"), daemon.balancer))


def test_haproxy_is_killed(daemon: AwsDaemon, calls: Calls) -> None:
    """Each call has its whole effect if it succeeds, and none if it fails."""
    assert "HAProxy was not running" not in daemon.events
    calls.start()
    for _ in range(KILLS):
        calls.wait()
        pid = running(daemon)
        os.kill(pid, signal.SIGKILL)
        until(lambda killed=pid: running(daemon) != killed, "HAProxy is started again", deadline=30)
    calls.wait()
    calls.stop()
    found = carried_out(calls)
    assert found == calls.made, calls.refused
    check_rules(calls, found)


def test_the_daemon_is_killed(daemon: AwsDaemon, calls: Calls, backends: list[Backend]) -> None:
    """No request is lost. What was answered with success is there, and a call without an answer has all of its effect
    or none.
    """
    account = calls.account
    account.elbv2.register_targets(TargetGroupArn=calls.default, Targets=[target(backends[0])])
    waiter = account.elbv2.get_waiter("target_in_service")
    waiter.wait(TargetGroupArn=calls.default, WaiterConfig=POLL)
    with Load.start(LoadProfile(f"http://127.0.0.1:{account.port}/", 60, posts=0)) as load:
        calls.start()
        for _ in range(KILLS):
            calls.wait()
            daemon.kill()
            daemon.start()
        calls.wait()
        calls.stop()
        report = load.stop()
    assert report.failures == (), report
    assert calls.refused == {}
    found = carried_out(calls)
    assert calls.made <= found <= set(range(1, calls.asked + 1))
    check_rules(calls, found)


def running(daemon: AwsDaemon) -> int:
    return int(until(daemon.balancer.pid, "HAProxy runs", deadline=30))


def carried_out(calls: Calls) -> set[int]:
    """Return the numbers of the calls that are described, each with everything that it asked for."""
    elbv2 = calls.account.elbv2
    found: set[int] = set()
    for rule in elbv2.describe_rules(ListenerArn=calls.listener)["Rules"][:-1]:
        number = int(rule["Priority"])
        assert rule["Conditions"][0]["Values"] == [f"/rule-{number}/*"]
        assert rule["Actions"][0]["TargetGroupArn"] == calls.group
        found.add(number)
    shown = elbv2.describe_target_health(TargetGroupArn=calls.group)["TargetHealthDescriptions"]
    numbers = {address(number): number for number in range(1, calls.asked + 1)}
    return found | {numbers[one["Target"]["Id"]] for one in shown}


def check_rules(calls: Calls, carried_out: set[int]) -> None:
    """Check that HAProxy has every rule: the group of the rules gets a server, whose name each of them answers."""
    server = Backend("ruled")
    try:
        described: Any = calls.account.elbv2.describe_target_health(TargetGroupArn=calls.group)
        others = [one["Target"] for one in described["TargetHealthDescriptions"]]
        calls.account.elbv2.deregister_targets(TargetGroupArn=calls.group, Targets=others)
        calls.account.elbv2.register_targets(TargetGroupArn=calls.group, Targets=[target(server)])
        for number in sorted(one for one in carried_out if one % 2):
            path = f"/rule-{number}/x"
            until(lambda path=path: answer(calls.account.port, path) == "ruled", f"{path} has its rule")
    finally:
        server.end()


def answer(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()
