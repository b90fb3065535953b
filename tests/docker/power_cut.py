"""A power cut: every process of the machine ends at once."""

from __future__ import annotations

import os
import signal

from tests.docker.get import try_get
from tests.docker.private_engine import PrivateEngine
from tests.docker.project import haproxy_processes, until
from tests.docker.serving import Serving


def cut_power(served: Serving, engine: PrivateEngine) -> None:
    """Kill the daemon, HAProxy and everything of the engine. Returns when the service no longer responds."""
    haproxy = haproxy_processes(served.project.home)
    served.kill()
    for pid in haproxy.values():
        os.kill(pid, signal.SIGKILL)
    engine.cut_power()
    until(lambda: not try_get(served.project), "no response")
