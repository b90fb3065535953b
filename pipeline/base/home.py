"""The state directory: everything that must survive a process."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import StoreFault

VARIABLE = "PENSTOCK_HOME"


@dataclass(frozen=True)
class Home:
    """The state directory: `$PENSTOCK_HOME`, else `penstock` in the XDG state directory. Only its owner has access."""

    root: Path

    @classmethod
    def locate(cls, environ: Mapping[str, str] | None = None) -> Home:
        """Return the home, with its directories created. Raises `StoreFault` if they cannot be created."""
        environ = os.environ if environ is None else environ
        state = environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        home = cls(Path(environ.get(VARIABLE) or Path(state) / "penstock").expanduser().absolute())
        for folder in (home.root, home.balancer, home.mirrors, home.locks, home.logs, home.spool):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StoreFault(
                    f"cannot create {folder}: {error.strerror}", hint=f"set {VARIABLE} to a writable directory"
                ) from error
        return home

    @property
    def id(self) -> str:
        """Identify the Docker objects of this home, since several homes may share one Docker."""
        return hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:12]

    @property
    def database(self) -> Path:
        """The database with runs, releases, deployments and events."""
        return self.root / "penstock.db"

    @property
    def balancer(self) -> Path:
        """The balancer's directory: registry, configuration, sockets, logs."""
        return self.root / "balancer"

    @property
    def mirrors(self) -> Path:
        """Bare mirrors of the repositories."""
        return self.root / "mirrors"

    @property
    def locks(self) -> Path:
        """The lock files, one per pipeline."""
        return self.root / "locks"

    @property
    def logs(self) -> Path:
        """The run logs, one folder per pipeline."""
        return self.root / "logs"

    @property
    def spool(self) -> Path:
        """The folder into which git hooks write a file per commit or push."""
        return self.root / "spool"

    @property
    def daemon_socket(self) -> Path:
        """The socket of the daemon's control API."""
        return self.root / "serve.sock"

    @property
    def daemon_lock(self) -> Path:
        """The lock that the daemon holds while it runs."""
        return self.locks / "serve"

    def policy(self, pipeline: str) -> Path:
        """Return the file with the limits of the commits of `pipeline`, which its owner may write."""
        return self.root / "policies" / f"{pipeline}.yaml"

    def lock(self, pipeline: str) -> Path:
        """Return the lock that a process holds while it changes `pipeline`."""
        return self.locks / f"{pipeline}.lock"

    def contexts(self, pipeline: str) -> Path:
        """Return the folder with the build contexts of `pipeline`, one folder for each run that builds."""
        return self.root / "contexts" / pipeline

    def run_log(self, pipeline: str, run: int) -> Path:
        """Return the log file of a run, one JSON object per line."""
        return self.logs / pipeline / f"{run}.jsonl"

    def run_artifacts(self, pipeline: str, run: int) -> Path:
        """Return the folder with the artifacts of a run."""
        return self.logs / pipeline / f"{run}.artifacts"
