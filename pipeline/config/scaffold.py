"""A first pipeline.yaml, from what a directory holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pipeline.base.errors import SystemFault
from pipeline.base.git import GitFailed, run_git

_GIT_TIMEOUT = timedelta(seconds=10)
_LINE = "{key:<38} # {meaning}"


@dataclass(frozen=True)
class DetectedProject:
    """What could be found out, and the defaults where it could not."""

    name: str
    branch: str
    context: str
    port: int
    health_path: str
    notes: tuple[str, ...]


def detect_project(directory: Path) -> DetectedProject:
    """Read the Dockerfile and the git branch. Changes nothing."""
    notes = []
    dockerfile = next((d for d in _dockerfiles(directory)), None)
    text = dockerfile.read_text(errors="replace") if dockerfile else ""
    if dockerfile is None:
        notes.append("there is no Dockerfile yet: write one, its folder is build.context")
    port = re.search(r"^\s*EXPOSE\s+(\d+)", text, re.MULTILINE | re.IGNORECASE)
    if dockerfile and port is None:
        notes.append("the Dockerfile has no EXPOSE: see that balancer.target_groups.web.port is right")
    check = re.search(r"https?://[^\s/\"']+(/[^\s\"'|;]*)", _health_check(text))
    if check is None:
        notes.append("no HEALTHCHECK with a URL: see that health_check.path answers 200 when the app is ready")
    return DetectedProject(
        name=_name(directory),
        branch=_branch(directory) or "main",
        context=_context(directory, dockerfile.parent) if dockerfile else ".",
        port=int(port[1]) if port else 8080,
        health_path=check[1] if check else "/",
        notes=tuple(notes),
    )


def render_template(found: DetectedProject) -> str:
    """The file, each key with its meaning."""
    rows = (
        ("name: " + found.name, "names the pipeline on this machine"),
        ("", ""),
        ("source:", ""),
        ("  repository: .", "a path, relative to this file, or any URL that git can fetch"),
        ("  branch: " + found.branch, "what `pipeline run` runs, and `pipeline serve` at each commit"),
        ("", ""),
        ("# triggers:", "what else `pipeline serve` runs by itself"),
        ("#   tags: [v*]", ""),
        ("", ""),
        ("build:", ""),
        ("  context: " + found.context, "the folder that is sent to the builder, from the repository's root"),
        ("  dockerfile: Dockerfile", "relative to the context"),
        ("  # test:", "tests run in the built image; when they fail, nothing is deployed"),
        ("  #   command: [make, test]", ""),
        ("", ""),
        ("deploy:", ""),
        ("  target_group: web", "the containers join this one of balancer.target_groups"),
        ("  replicas: 2", "how many containers serve"),
        ("  rolling:", ""),
        ("    max_surge: 1", "one more than that may run while a new release takes over"),
        ("    max_unavailable: 0", "and none of them may be missing"),
        ("  stop_grace: 10s", "from SIGTERM to SIGKILL, once a container has drained"),
        ("", ""),
        ("balancer:", ""),
        ("  target_groups:", ""),
        ("    web:", ""),
        (f"      port: {found.port}", "the port the app listens on, in its container"),
        ("      health_check:", ""),
        (f"        path: {found.health_path}", "answers 200 when the app is ready for traffic"),
        ("        interval: 1s", "how often it is asked"),
        ("      deregistration_delay: 30s", "how long a leaving container may finish its requests"),
        ("  load_balancers:", ""),
        ("    edge:", ""),
        ("      listeners:", ""),
        ("        - port: 8000", "where clients connect, on this machine"),
        ("          default_action:", ""),
        ("            forward: web", "who answers them"),
    )
    lines = (_LINE.format(key=key, meaning=meaning) if meaning else key for key, meaning in rows)
    return "# Every key: pipeline schema --reference\n" + "\n".join(lines) + "\n"


def _dockerfiles(directory: Path) -> list[Path]:
    """The nearest first; not in hidden folders."""
    found = [*directory.glob("Dockerfile"), *directory.glob("*/Dockerfile"), *directory.glob("*/*/Dockerfile")]
    visible = [f for f in found if not any(part.startswith(".") for part in f.relative_to(directory).parts)]
    return [f for f in visible if f.is_file()]


def _health_check(text: str) -> str:
    match = re.search(r"^\s*HEALTHCHECK\b((?:.*\\\n)*.*)$", text, re.MULTILINE | re.IGNORECASE)
    return match[1] if match else ""


def _name(directory: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", directory.resolve().name.lower()).strip("-")[:32].strip("-")
    # A bare number would be read as one.
    return f"app-{name}"[:32] if name.isdigit() else name or "app"


def _context(directory: Path, folder: Path) -> str:
    """The folder as the repository's root sees it, which may be above the directory."""
    root = _git(directory, "rev-parse", "--show-toplevel")
    return str(folder.resolve().relative_to(Path(root).resolve() if root else directory.resolve()))


def _branch(directory: Path) -> str | None:
    return _git(directory, "branch", "--show-current")


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        printed = run_git(*arguments, directory=directory, timeout=_GIT_TIMEOUT)
    except (GitFailed, SystemFault):
        return None
    return printed.decode(errors="replace").strip() or None
