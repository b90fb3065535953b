"""`pipeline balancer serve` in a process of its own, and botocore's clients for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.aws.keys import AccessKeys
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.planes import open_balancer
from pipeline.base.home import Home
from tests.support.aws import AwsServer
from tests.support.ports import free_port

OWNER = "aws"


class AwsDaemon:
    """The daemon of a home. It can be killed and started again: it keeps its address and its key."""

    def __init__(self, home: Home, *zones: str) -> None:
        self.home = home
        self.balancer = open_balancer(home.balancer)
        address = f"127.0.0.1:{free_port()}"
        words = [word for zone in zones for word in ("--zone", zone)]
        self._command = [sys.executable, "-m", "pipeline.cli.main", "balancer", "serve", "--aws", address, *words]
        self._log = home.root.parent / "serve-aws.log"
        self._process: subprocess.Popen[str] | None = None
        keys = AccessKeys(home.aws)
        self.server = AwsServer(f"http://{address}", keys, keys.create(OWNER))

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def events(self) -> str:
        """What it has printed since its first start."""
        return self._log.read_text()

    def start(self) -> None:
        """Start it, and wait until it serves."""
        environment = {**os.environ, "PENSTOCK_HOME": str(self.home.root)}
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, env=environment, stdout=log, stderr=subprocess.PIPE, text=True
            )
        assert self._process.stderr is not None
        line = self._process.stderr.readline()
        assert line.startswith("serving the AWS APIs"), line + self._process.stderr.read()

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it by SIGTERM."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.communicate(timeout=60)


@contextmanager
def aws_daemon(folder: Path, *zones: str) -> Iterator[AwsDaemon]:
    """Serve a home below a folder. At the end, nothing of it runs."""
    daemon = AwsDaemon(Home(folder / "home"), *zones)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()
        delete_all(daemon.balancer, OWNER)


def delete_all(balancer: Balancer, owner: str) -> None:
    """Delete what an owner's clients have made. HAProxy stops with the last resource."""
    balancer.change(owner, lambda known: known.drop(*(one.id for one in known.all() if one.owner == owner)))
