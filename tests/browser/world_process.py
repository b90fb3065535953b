"""`pipeline serve` with an engine in memory: `python -m tests.browser.world_process SUBNETS [serve's arguments]`.

SIGUSR1 stops the daemon, and SIGUSR2 starts another one in this process. The containers stay, as those of an engine do.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
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

    paused, resumed = threading.Event(), threading.Event()

    def stop(_: int, __: object) -> None:
        paused.set()
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGUSR1, stop)
    signal.signal(signal.SIGUSR2, lambda *_: resumed.set())
    while True:
        command.main(arguments, standalone_mode=False)
        if not paused.is_set():
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resumed.wait()
        paused.clear()
        resumed.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
