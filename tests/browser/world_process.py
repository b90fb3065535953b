"""`pipeline serve` with an engine in memory: `python -m tests.browser.world_process SUBNETS [serve's arguments]`.

SIGUSR1 restarts the daemon in this process. The containers stay, as they do when a daemon is restarted.
"""

from __future__ import annotations

import os
import signal
import sys
from ipaddress import IPv4Network

from pipeline.base.home import Home
from tests.browser.loopback_engine import LoopbackEngine


def main(subnets: str, *arguments: str) -> None:
    """Serve until SIGTERM."""
    engine = LoopbackEngine(Home.locate().id, IPv4Network(subnets))
    engine.install()
    engine.engine.images.registry |= {"postgres:16"}
    # Imported after the engine is installed.
    from pipeline.cli.serve import command

    restarting = True

    def restart(_: int, __: object) -> None:
        nonlocal restarting
        restarting = True
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGUSR1, restart)
    while restarting:
        restarting = False
        command.main(arguments, standalone_mode=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
