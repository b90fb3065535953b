"""The folder of a laboratory, and the shell in which its commands run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shlex import quote

from table import parse

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.planes import open_balancer
from pipeline.base.home import Home

SOURCE = Path(__file__).resolve().parents[1]
"""The folder of this example."""
NETWORK = "elb-lab"
"""The network namespace of the client, and this machine's end of the cable to it."""
APPS_NETWORK = "elb-lab-apps"
"""The network namespace of the ALB in step 8."""
CLIENT = "198.18.0.2"
"""The client's address."""
STACK = "lab"
"""The name of the stack."""
PIPELINES = ("dev", "mgt", "mobile", "nlb", "gateway")
"""The names of the files of pipelines, and of the pipelines that they declare. The stack has one more, `web`."""
DEADLINE = 30.0

_ENV = """\
# Read this in a shell to type the commands of the README: . ./env.sh
export PENSTOCK_HOME={home}
export PENSTOCK_BASE_IMAGE={base_image}
export GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=ada@example.com
export GIT_COMMITTER_NAME=Ada GIT_COMMITTER_EMAIL=ada@example.com
export PATH={programs}:"$PATH"
client() {{ ip netns exec {network} python {repository}/client.py "$@"; }}
cd {repository}
"""


class CommandFailed(Exception):
    """A command of the laboratory has failed. Its output is printed already."""


class Laboratory:
    """A repository with the templates, and the home of stack and pipelines, in a folder that step 9 removes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = folder / "repository"
        self.home = folder / "home"

    @property
    def exists(self) -> bool:
        """Whether step 1 has made the folder."""
        return self.folder.exists()

    @property
    def has_network(self) -> bool:
        """Whether the client and the cable to it exist. They do not survive a reboot."""
        return (Path("/run/netns") / NETWORK).exists()

    @property
    def has_stack(self) -> bool:
        """Whether step 1 has made the stack."""
        return Home(self.home).stack_pipelines.exists()

    def create_folder(self) -> None:
        """Copy the templates, the application and the programs, and write `env.sh`."""
        shutil.copytree(SOURCE, self.repository, ignore=shutil.ignore_patterns("lab", "*.md", "__pycache__"))
        text = _ENV.format(
            home=quote(str(self.home)),
            base_image=quote(os.environ.get("PENSTOCK_BASE_IMAGE") or "python:3.12-slim"),
            programs=quote(str(Path(sys.executable).parent)),
            network=NETWORK,
            repository=quote(str(self.repository)),
        )
        (self.repository / "env.sh").write_text(text)

    def balancer(self) -> Balancer:
        """Return the balancer of the pipelines."""
        return open_balancer(self.home / "balancer")

    def run(self, command: str, *, brief: bool = False) -> str:
        """Run a line of the shell in the repository, print both, and return the output.

        `brief`: print only the last line of the output, unless the command fails.
        """
        print(f"$ {command}", flush=True)
        done = subprocess.run(
            ["bash", "-c", f". {quote(str(self.repository))}/env.sh\n{command}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        lines = done.stdout.splitlines()
        for line in lines[-1:] if brief and not done.returncode else lines:
            print(line, flush=True)
        if done.returncode:
            raise CommandFailed(f"exit code {done.returncode}: {command}")
        return done.stdout

    def ask(self, command: str) -> list[dict[str, str]]:
        """Run a command of the client, and return the rows of its table."""
        return parse(self.run(command))

    @staticmethod
    def until(condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition. Raises `CommandFailed` if it does not hold within half a minute."""
        deadline = time.monotonic() + DEADLINE
        while not condition():
            if time.monotonic() > deadline:
                raise CommandFailed(f"not within {DEADLINE:.0f} s: {what}")
            time.sleep(0.05)
