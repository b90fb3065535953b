"""Where everything that must survive a process is kept."""

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
    """The state directory: `$PENSTOCK_HOME`, else `penstock` in the XDG state directory. Only its owner may look."""

    root: Path

    @classmethod
    def locate(cls, environ: Mapping[str, str] | None = None) -> Home:
        """Find the directory and make it where it is missing. Raises `StoreFault` when that cannot be done."""
        environ = os.environ if environ is None else environ
        state = environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        home = cls(Path(environ.get(VARIABLE) or Path(state) / "penstock").expanduser().absolute())
        for folder in (home.root, home.balancer, home.mirrors, home.locks, home.logs, home.spool):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StoreFault(
                    f"cannot make {folder}: {error.strerror}", hint=f"set {VARIABLE} to a directory you may write to"
                ) from error
        return home

    @property
    def id(self) -> str:
        """Marks what this home made in Docker, where several homes may meet."""
        return hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:12]

    @property
    def database(self) -> Path:
        """Runs, releases, deployments and events."""
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
        """One lock file a pipeline."""
        return self.root / "locks"

    @property
    def logs(self) -> Path:
        """One folder of run logs a pipeline."""
        return self.root / "logs"

    @property
    def spool(self) -> Path:
        """Where git hooks leave word."""
        return self.root / "spool"

    @property
    def daemon_socket(self) -> Path:
        """Where `pipeline serve` answers."""
        return self.root / "serve.sock"

    @property
    def daemon_lock(self) -> Path:
        """What `pipeline serve` holds while it runs."""
        return self.locks / "serve"

    def lock(self, pipeline: str) -> Path:
        """What a command holds while it changes `pipeline`."""
        return self.locks / f"{pipeline}.lock"

    def run_log(self, pipeline: str, run: int) -> Path:
        """The log of one run, a JSON object a line."""
        return self.logs / pipeline / f"{run}.jsonl"

    def run_artifacts(self, pipeline: str, run: int) -> Path:
        """What was kept of what one run made."""
        return self.logs / pipeline / f"{run}.artifacts"
