"""Resources of one daemon with many idle pipelines."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.extent import Extent
from bench.figure import Figure
from bench.idle_project import settle
from bench.process import descriptors, pss, share, threads
from bench.results import Results
from pipeline.base.home import Home
from tests.docker.project import Project, until

PIPELINES, SECONDS = 200, 60
_MAX_CPU, _MAX_THREADS, _MAX_PSS = 3.0, 100, 150.0


def measure(_: Extent) -> Results:
    """Measure the daemon once all pipelines are idle."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, _serving(Path(folder)) as pid:
        settle()
        core = share(pid, SECONDS)
        found = (threads(pid), descriptors(pid), pss(pid))
    figures = [
        Figure("% of one core", core, _MAX_CPU),
        Figure("threads", found[0], _MAX_THREADS),
        Figure("MB of PSS", found[2], _MAX_PSS),
    ]
    return Results.judged(
        "Many idle pipelines",
        f"One `pipeline serve` with {PIPELINES} pipelines. Each watches a repository of its own whose last commit says "
        f"`[skip ci]`, so there is no release and no container. Nothing happens for {SECONDS} s.",
        ("CPU of one core", "threads", "descriptors", "memory (PSS)"),
        [(f"{core:.2f} %", str(found[0]), str(found[1]), f"{found[2]:.0f} MB")],
        figures,
    )


@contextmanager
def _serving(folder: Path) -> Iterator[int]:
    """Run a daemon with all pipelines, and yield its process id once each is served."""
    with ExitStack() as stack:
        projects = _projects(folder)
        stack.callback(projects[0].remove)
        log = stack.enter_context((folder / "serve.log").open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli.main", "serve", *(f"{p.directory}/pipeline.yaml" for p in projects)],
            env=projects[0].environment,
            stdout=log,
            stderr=log,
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)

        def served() -> bool:
            assert process.poll() is None, (folder / "serve.log").read_text()
            with projects[0].store() as store:
                return all(store.events.latest(project.name, limit=1) for project in projects)

        until(served, "every pipeline is served", deadline=300)
        yield process.pid


def _projects(folder: Path) -> list[Project]:
    """Return projects in one home, each with a copy of the same repository."""
    base, home = Path(".setup/base-image").read_text().strip(), Home.locate({"PENSTOCK_HOME": str(folder / "home")})
    first = Project(folder / "p0", base, home, name="p0").create()
    first.git("commit", "--quiet", "--allow-empty", "-m", "Nothing yet [skip ci]")
    projects = [first]
    for number in range(1, PIPELINES):
        project = Project(folder / f"p{number}", base, home, name=f"p{number}")
        shutil.copytree(first.directory, project.directory)
        project.take_port()
        project.configure()
        projects.append(project)
    return projects
