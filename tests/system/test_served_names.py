"""`pipeline serve --dns` with the balancer of a home."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dns.exception
import dns.resolver
import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration
from pipeline.balancer.planes import open_balancer
from pipeline.base.home import Home
from tests.support.pipeline_yaml import MINIMAL
from tests.support.ports import free_port
from tests.support.repository import Work
from tests.support.waiting import DEADLINE, until
from tests.support.zoned import application


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with a pipeline."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    work = Work(tmp_path)
    (work.path / "pipeline.yaml").write_text(MINIMAL)
    return work.path


@pytest.fixture
def balancer(work: Path) -> Iterator[Balancer]:
    """Return the balancer of the home. It is stopped at the end."""
    assert work.exists()
    balancer = open_balancer(Home.locate().balancer)
    yield balancer
    balancer.withdraw("edges")


def declare(balancer: Balancer, **addresses: str) -> None:
    balancers = {name: application(free_port(), address=place) for name, place in addresses.items()}
    balancer.apply(
        "edges", Declaration.model_validate({"load_balancers": balancers, "target_groups": {"web": {"port": 80}}})
    )


@contextmanager
def daemon(work: Path, address: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "pipeline.cli.main", "serve", "--dns", address]
    with subprocess.Popen(command, cwd=work, env=os.environ, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(100)


def address_of(name: str, port: int) -> str | None:
    """Return what a resolver finds, or None if the name or the server does not exist."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], port, 2.0
    with suppress(dns.exception.DNSException):
        return resolver.resolve(f"{name}.elb.internal", "A")[0].to_text()
    return None


def test_the_daemon_answers(work: Path, balancer: Balancer) -> None:
    """Names follow the declarations while the daemon runs, also after SIGKILL and a restart on the same port."""
    port = free_port()
    with daemon(work, f"127.0.0.1:{port}") as process:
        declare(balancer, one="127.0.3.1")
        until(lambda: address_of("one.edges", port) == "127.0.3.1", "the first name")
        declare(balancer, two="127.0.3.2")
        until(lambda: (address_of("one", port), address_of("two", port)) == (None, "127.0.3.2"), "the second name")
        process.kill()
        process.wait(DEADLINE)
    with daemon(work, f"127.0.0.1:{port}"):
        until(lambda: address_of("two", port) == "127.0.3.2", "the name after a restart")


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("127.0.0.1", "127.0.0.1 is not a valid address"),
        ("127.0.0.1:PORT", "cannot listen at 127.0.0.1:PORT: the address is in use"),
    ],
)
def test_an_address_that_cannot_be_used(address: str, error: str, work: Path, taken: int) -> None:
    """The daemon does not start, and the error names the address."""
    place = address.replace("PORT", str(taken))
    command = [sys.executable, "-m", "pipeline.cli.main", "serve", "--dns", place]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert error.replace("PORT", str(taken)) in done.stderr


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port of 127.0.0.1 at which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
