"""A power cut: every process of the machine ends at once."""

from __future__ import annotations

import os
import signal
import urllib.error
import urllib.request

from tests.docker.private_engine import PrivateEngine
from tests.docker.project import Project, haproxy_processes, until
from tests.docker.serving import Serving


def answer(project: Project) -> str:
    """Return the response of the service, or an empty text if it does not respond."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{project.port}/", timeout=1) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        error.close()
        return ""
    except OSError:
        return ""


def cut_power(served: Serving, engine: PrivateEngine) -> None:
    """Kill the daemon, HAProxy and everything of the engine. Returns when the service no longer responds."""
    haproxy = haproxy_processes(served.project.home)
    served.kill()
    for pid in haproxy.values():
        os.kill(pid, signal.SIGKILL)
    engine.cut_power()
    until(lambda: not answer(served.project), "no response")
