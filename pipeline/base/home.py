"""The state directory: everything that must survive a process."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import StoreFault
from pipeline.base.files import make_folder
from pipeline.base.home_id import home_id

VARIABLE = "PENSTOCK_HOME"


@dataclass(frozen=True)
class Home:
    """The state directory: `$PENSTOCK_HOME`, else `penstock` in the XDG state directory. Only its owner has access."""

    root: Path

    @classmethod
    def locate(cls, environ: Mapping[str, str] | None = None) -> Home:
        """Return the home, with its directories created.

        Raises `StoreFault` if they cannot be created, and if other users can write to the home.
        """
        home = cls.at(os.environ if environ is None else environ)
        folders = (home.balancer, home.mirrors, home.locks, home.logs, home.spool)
        for folder in (home.root, *folders):
            try:
                make_folder(folder)
            except OSError as error:
                raise StoreFault(
                    f"cannot create {folder}: {error.strerror}", hint=f"set {VARIABLE} to a writable directory"
                ) from error
        _check_private(home.root)
        for folder in folders:
            _make_private(folder, searchable=folder == home.balancer)
        home_id(home.root)
        return home

    @classmethod
    def at(cls, environ: Mapping[str, str]) -> Home:
        """Return the home without creating it. Raises `StoreFault` if its place has no meaning."""
        return cls(_place(environ))

    @property
    def id(self) -> str:
        """Identify the Docker objects of this home, since several homes may share one Docker. See `home_id`."""
        return home_id(self.root)

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
    def aws(self) -> Path:
        """What the AWS APIs keep: access keys, networks, certificates. It is made when the first of them is."""
        return self.root / "aws"

    @property
    def stack_pipelines(self) -> Path:
        """The folder with the pipeline.yaml of each pipeline that a stack has made."""
        return self.aws / "pipelines"

    @property
    def dns_programs(self) -> Path:
        """The folder with the programs that set records of DNS, which its owner may make."""
        return self.root / "dns"

    @property
    def hosts(self) -> Path:
        """The folder with the tunnels to hosts. It is made with the first of them."""
        return self.root / "hosts"

    @property
    def daemon_socket(self) -> Path:
        """The socket of the daemon's control API."""
        return self.root / "serve.sock"

    @property
    def web_settings(self) -> Path:
        """The settings of the web interface, which its owner may write."""
        return self.root / "web.yaml"

    @property
    def web_url(self) -> Path:
        """The URL of the web interface, while a daemon serves it."""
        return self.root / "web.url"

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

    def remove_contexts(self, pipeline: str, running: Callable[[], Collection[int]]) -> None:
        """Remove the build contexts that killed runs left behind. `running` returns the runs that keep theirs."""
        # Imported here, since each command imports this module.
        import shutil

        found = list(self.contexts(pipeline).glob("*"))
        # Called after the list was read, so a run that starts later has nothing in it.
        spared = {str(run) for run in running()}
        for folder in found:
            if folder.name.partition(".")[0] not in spared:
                shutil.rmtree(folder, ignore_errors=True)

    def pushes(self, pipeline: str) -> Path:
        """Return the folder with the names that runs of `pipeline` give to images for a push, one file for each run."""
        return self.root / "pushes" / pipeline

    def run_log(self, pipeline: str, run: int) -> Path:
        """Return the log file of a run, one JSON object per line."""
        return self.logs / pipeline / f"{run}.jsonl"

    def job_log(self, pipeline: str, container: str) -> Path:
        """Return the log file of a job's run, by its container, one JSON object per line."""
        return self.job_logs(pipeline) / f"{container}.jsonl"

    def job_logs(self, pipeline: str) -> Path:
        """Return the folder with the output of the runs of the jobs of `pipeline`."""
        return self.logs / pipeline / "jobs"

    def replica_logs(self, pipeline: str) -> Path:
        """Return the folder with the output of the replicas of `pipeline` that were removed."""
        return self.logs / pipeline / "replicas"

    def backups(self, pipeline: str, accessory: str) -> Path:
        """Return the folder with the backups of an accessory of `pipeline`."""
        return self.root / "backups" / pipeline / accessory

    def run_artifacts(self, pipeline: str, run: int) -> Path:
        """Return the folder with the artifacts of a run."""
        return self.logs / pipeline / f"{run}.artifacts"


def _place(environ: Mapping[str, str]) -> Path:
    given = environ.get(VARIABLE, "")
    try:
        state = environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        found = Path(given or Path(state) / "penstock").expanduser().absolute()
    except RuntimeError as error:
        place = f"{VARIABLE}={given}" if given else "the default home"
        raise StoreFault(
            f"{place}: there is no such user or home directory", hint=f"set {VARIABLE} to an absolute path"
        ) from error
    if "\0" in str(found):
        raise StoreFault(f"{VARIABLE} must not contain a null byte")
    return found


def _check_private(root: Path) -> None:
    """Raise `StoreFault` if other users can write to the home, because they could then act as its owner."""
    mode = root.stat().st_mode & 0o777
    if mode & 0o022:
        raise StoreFault(f"{root} can be written by other users (mode {mode:04o})", hint=f"chmod 700 {root}")


def _make_private(folder: Path, *, searchable: bool) -> None:
    """Restore the mode 0700 if another program has changed it. `searchable`: the mode may also be 0711."""
    mode = folder.stat().st_mode & 0o777
    # HAProxy's workers, which are not root, connect to sockets in the balancer's folder.
    private = 0o700 | (mode & 0o011 if searchable else 0)
    if mode != private:
        with suppress(OSError):
            folder.chmod(private)
