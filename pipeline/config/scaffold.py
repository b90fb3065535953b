"""Generation of a first pipeline.yaml from the content of a directory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from git import Repo

SCHEMA_FILE = ".pipeline.schema.json"
"""The file beside pipeline.yaml from which an editor knows the keys, also without a network."""

_LINE = "{key:<38} # {meaning}"
# The lines of the file and the meaning of their keys.
_ROWS = (
    ("name: {name}", "name of the pipeline, unique on this machine"),
    ("", ""),
    ("source:", ""),
    ("  repository: .", "path relative to this file, or any URL that git can fetch"),
    ("  branch: {branch}", "`pipeline run` deploys this branch, and `pipeline serve` each of its commits"),
    ("", ""),
    ("# triggers:", "other refs that `pipeline serve` runs automatically"),
    ("#   tags: [v*]", ""),
    ("", ""),
    ("build:", ""),
    ("  context: {context}", "folder of the repository that is sent to the builder"),
    ("  dockerfile: Dockerfile", "relative to the context"),
    ("  # test:", "tests run in the built image; if they fail, nothing is deployed"),
    ("  #   command: [make, test]", ""),
    ("", ""),
    ("# accessories:", "databases and the like, which a deployment starts and never replaces"),
    ("#   db:", ""),
    ("#     image: postgres:16", "reached as `db`"),
    ("#     volumes: [{name}-db:/var/lib/postgresql/data]", ""),
    ("", ""),
    ("deploy:", ""),
    ("  target_group: web", "group of balancer.target_groups in which containers are registered"),
    ("  replicas: 3", "number of containers; with three, unanswered GETs of one that dies go to another one"),
    ("  rolling:", ""),
    ("    max_surge: 1", "containers above `replicas` during a rollout"),
    ("    max_unavailable: 0", "containers below `replicas` during a rollout"),
    ("  stop_grace: 10s", "time from SIGTERM to SIGKILL for a drained container"),
    ("", ""),
    ("balancer:", ""),
    ("  target_groups:", ""),
    ("    web:", ""),
    ("      port: {port}", "port of the app in its container"),
    ("      health_check:", ""),
    ("        path: {health_path}", "returns 200 when the app is ready for traffic"),
    ("        interval: 1s", "time between health checks"),
    ("      deregistration_delay: 30s", "time for a draining container to finish its requests"),
    ("  load_balancers:", ""),
    ("    edge:", ""),
    ("      listeners:", ""),
    ("        - port: 8000", "port on this machine that clients connect to"),
    ("          default_action:", ""),
    ("            forward: web", "target group that receives the requests"),
)


@dataclass(frozen=True)
class DetectedProject:
    """The detected properties of a project, with defaults for the others."""

    name: str
    branch: str
    context: str
    port: int
    health_path: str
    notes: tuple[str, ...]


def detect_project(directory: Path) -> DetectedProject:
    """Read the Dockerfile and the git branch. Changes nothing."""
    notes, repository = [], _repository(directory)
    dockerfile = next((d for d in _dockerfiles(directory)), None)
    text = dockerfile.read_text(errors="replace") if dockerfile else ""
    if dockerfile is None:
        notes.append("no Dockerfile found: create one, and set build.context to its folder")
    port = re.search(r"^\s*EXPOSE\s+(\d+)", text, re.MULTILINE | re.IGNORECASE)
    if dockerfile and port is None:
        notes.append("no EXPOSE in the Dockerfile: check balancer.target_groups.web.port")
    check = re.search(r"https?://[^\s/\"']+(/[^\s\"'|;]*)", _health_check(text))
    if check is None:
        notes.append("no HEALTHCHECK with a URL: check that health_check.path returns 200 when the app is ready")
    if instruction := _shell_form(text):
        notes.append(
            f"{instruction} in the Dockerfile is a string, so a shell may keep SIGTERM from the app: write it as a "
            f'list, such as {instruction} ["program", "argument"]'
        )
    return DetectedProject(
        name=_name(directory),
        branch=_branch(repository) or "main",
        context=_context(repository, directory, dockerfile.parent) if dockerfile else ".",
        port=int(port[1]) if port else 8080,
        health_path=check[1] if check else "/",
        notes=tuple(notes),
    )


def render_template(found: DetectedProject) -> str:
    """Return the text of pipeline.yaml, each key with its meaning."""
    values = {"name": found.name, "branch": found.branch, "context": found.context}
    values |= {"port": str(found.port), "health_path": found.health_path}
    rows = ((key.format(**values), meaning) for key, meaning in _ROWS)
    lines = (_LINE.format(key=key, meaning=meaning) if meaning else key for key, meaning in rows)
    head = f"# yaml-language-server: $schema={SCHEMA_FILE}\n# Every key: pipeline schema --reference\n"
    return head + "\n".join(lines) + "\n"


def _dockerfiles(directory: Path) -> list[Path]:
    """Return the Dockerfiles, nearest first, outside of hidden folders."""
    found = [*directory.glob("Dockerfile"), *directory.glob("*/Dockerfile"), *directory.glob("*/*/Dockerfile")]
    visible = [f for f in found if not any(part.startswith(".") for part in f.relative_to(directory).parts)]
    return [f for f in visible if f.is_file()]


def _health_check(text: str) -> str:
    match = re.search(r"^\s*HEALTHCHECK\b((?:.*\\\n)*.*)$", text, re.MULTILINE | re.IGNORECASE)
    return match[1] if match else ""


def _shell_form(text: str) -> str | None:
    """Return the instruction that starts the last stage's program by a shell, or None.

    With `exec`, the program replaces the shell, so it does not count.
    """
    lines = re.sub(r"\\\s*\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    found: dict[str, str] = {}
    for line in lines:
        name, _, rest = line.strip().partition(" ")
        if name.upper() == "FROM":
            found.clear()
        if name.upper() in ("CMD", "ENTRYPOINT"):
            found[name.upper()] = rest.strip()
    name = "ENTRYPOINT" if "ENTRYPOINT" in found else "CMD"
    program = found.get(name, "[")
    return None if program.startswith(("[", "exec ")) else name


def _name(directory: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", directory.resolve().name.lower()).strip("-")[:32].strip("-")
    # YAML would read a bare number as a number.
    return f"app-{name}"[:32] if name.isdigit() else name or "app"


def _context(repository: Repo | None, directory: Path, folder: Path) -> str:
    """Return the folder relative to the repository's root, which may be above `directory`."""
    root = repository.working_tree_dir if repository else None
    return str(folder.resolve().relative_to(Path(root or directory).resolve()))


def _branch(repository: Repo | None) -> str | None:
    """Return the current branch, also before its first commit, or None without one."""
    return None if repository is None or repository.head.is_detached else repository.active_branch.name


def _repository(directory: Path) -> Repo | None:
    """Return the repository that contains a directory, or None."""
    # Its import takes longer than the rest of the command.
    from git import GitError, Repo

    try:
        return Repo(directory, search_parent_directories=True)
    except (GitError, OSError):
        return None
