"""The daemon as users and systemd see it: status, public address, restarts and output."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from pipeline.balancer.model import TargetState
from tests.docker.project import Project, docker, haproxy_processes, until
from tests.docker.serving import serving
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE

pytestmark = pytest.mark.docker


def test_a_restart_leaves_haproxy_and_containers_alone(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon notifies systemd once it responds, and a restart leaves HAProxy and the containers alone."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(address))
        notify.settimeout(DEADLINE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        with serving(project) as served:
            assert notify.recv(100) == b"READY=1"
            served.await_run(1)
            balancer, containers = haproxy_processes(project.home), {c.name for c in project.containers()}
            assert b"NOTIFY_SOCKET" not in Path(f"/proc/{balancer['worker']}/environ").read_bytes()
            with project.load() as load:
                os.kill(served.pid, signal.SIGTERM)
                assert served.stop() == 0
                served.start()
                assert notify.recv(100) == b"READY=1"
                assert load.stop().failed == 0
            assert haproxy_processes(project.home) == balancer
            assert {c.name for c in project.containers()} == containers


def test_what_the_public_address_shows(project: Project) -> None:
    """The public address shows the state of the latest run as a badge and in the feed."""
    address = f"127.0.0.1:{free_port()}"
    with serving(project, "--public", address) as served:
        served.await_run(1)
        for path, text in (("badge/shop.svg", "shop: succeeded"), ("cc.xml", 'lastBuildStatus="Success"')):
            with urllib.request.urlopen(f"http://{address}/{path}", timeout=DEADLINE) as answer:
                assert text in answer.read().decode()


def test_status_shows_the_daemon_and_repairs_nothing(project: Project) -> None:
    """`status` shows the daemon and its open drift, and leaves the restart of HAProxy to it."""
    with serving(project) as served:
        served.await_run(1)
        assert f"managed by daemon (pid {served.pid}) since " in project.pipeline("status").out
        os.kill(served.pid, signal.SIGSTOP)
        try:
            os.kill(haproxy_processes(project.home)["master"], signal.SIGKILL)
            until(lambda: "the balancer is not running\n" in project.pipeline("status").out, "no balancer")
            targets = json.loads(project.pipeline("status", "--json").out)["targets"]
            assert {target["reason"] for target in targets} == {"Elb.InternalError"}
            assert f"the daemon (pid {served.pid}) is stopped" in project.pipeline("recover", code=3).err
            assert {h.reason for h in project.targets()} == {"Elb.InternalError"}
        finally:
            os.kill(served.pid, signal.SIGCONT)
        served.await_event("balancer.restarted")
        until(lambda: {h.state for h in project.targets()} == {TargetState.HEALTHY}, "its targets")
        docker("rm", "-f", project.containers()[0].name)
        served.await_event("reconcile.repaired")
        assert "repairing" not in project.pipeline("status").out
        project.assert_serving(1)
    assert "not managed" in project.pipeline("status").out


def test_a_failed_push_prints_the_reason(project: Project) -> None:
    """A failed push prints the reason to its client and in the daemon's output; one without a run says so."""

    def follow(branch: str) -> str:
        command = [sys.executable, "-m", "pipeline.cli.main", "hook", "follow"]
        moves = f"{'0' * 40} {sha} refs/heads/{branch}\n"
        return subprocess.run(
            command, input=moves, env=project.environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    with serving(project) as served:
        served.await_run(1)
        project.configure(("python3, -m, unittest]", "sh, -c, 'echo the reason; exit 7']"))
        sha = project.commit("2")
        shown = follow("main")
        assert "run 2: failed" in shown
        assert "the tests failed with exit code 7" in shown
        assert "| the reason" in shown
        assert "the tests failed with exit code 7" in served.output()
        assert follow("elsewhere").startswith("no run was queued within ")
    assert follow("main").startswith("`pipeline serve` is not running")


def test_artifacts_of_a_run(project: Project) -> None:
    """Artifacts of a run are copied as the tests wrote them."""
    script = "command: [sh, -c, 'mkdir /tmp/out; echo 42 > /tmp/out/answer'], artifacts: [/tmp/out]"
    project.configure(("command: [python3, -m, unittest]", script))
    project.commit("1")
    project.pipeline("run")
    assert project.pipeline("artifacts").out.split()[-3:] == ["1", "3", "tmp/out/answer"]
    project.pipeline("artifacts", "1", "--copy-to", "kept")
    assert (project.directory / "kept/tmp/out/answer").read_text() == "42\n"
