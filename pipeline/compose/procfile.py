"""A Procfile as a pipeline.yaml."""

from __future__ import annotations

import re
from typing import Any

from pipeline.base.errors import ConfigError, Problem
from pipeline.compose.naming import short_name
from pipeline.compose.report import Report
from pipeline.compose.translation import Imported, ImportedFile
from pipeline.compose.variables import escaped

_LINE = re.compile(r"([A-Za-z0-9_-]+)\s*:\s*(\S.*)")
_PORT = 8080
_LISTENER = 8000


def translate_procfile(text: str, file: str, name: str) -> Imported:
    """Return the pipeline of a Procfile: `web` gets requests, `release` runs before a release, others are workers.

    Raises `ConfigError` with each line that is no process.
    """
    report = Report()
    commands = _commands(text, file)
    services: dict[str, Any] = {}
    release = commands.pop("release", None)
    for process, command in commands.items():
        service = short_name(process, "process")
        if service != process:
            report.note(f"the process {process} is named {service}")
        if service in services:
            raise ConfigError(f"{file}: the processes {process} and another one are both named {service}")
        services[service] = {"target_group": "web"} if process == "web" else {}
        # A shell expands variables such as $PORT, and gives way to the program, which then gets SIGTERM.
        services[service]["command"] = ["sh", "-c", escaped(_with_exec(command))]
    content = _content(name, services, release)
    if "web" in services:
        report.note(
            f"web listens on $PORT, which is {_PORT}, and gets the requests to port {_LISTENER} of this machine"
        )
    else:
        report.note("there is no process web, so no service gets requests")
    report.note("the image is built from the Dockerfile of this repository: a pipeline has no buildpacks")
    return Imported((ImportedFile(content["name"], "web", content),), report.notes)


def _content(name: str, services: dict[str, Any], release: str | None) -> dict[str, Any]:
    deploy: dict[str, Any] = {"environment": {"PORT": str(_PORT)}} if "web" in services else {}
    if release:
        deploy["release_command"] = {"command": ["sh", "-c", escaped(_with_exec(release))]}
    content: dict[str, Any] = {"name": short_name(name).lower()}
    content["deploy"] = {**deploy, **({"services": services} if services else {})}
    return {**content, **({"balancer": _balancer()} if "web" in services else {})}


def _commands(text: str, file: str) -> dict[str, str]:
    found: dict[str, tuple[str, int]] = {}
    problems = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            problems.append(Problem(number, 1, "", "must have the form NAME: COMMAND", "such as web: gunicorn app:app"))
        elif "\0" in match[2]:
            problems.append(Problem(number, 1, match[1], "must not contain a null character"))
        elif match[1] in found:
            problems.append(
                Problem(number, 1, match[1], f"is declared twice; the first is on line {found[match[1]][1]}")
            )
        else:
            found[match[1]] = (match[2], number)
    if problems:
        raise ConfigError(source=file, problems=tuple(problems))
    if not found:
        raise ConfigError(f"{file} has no process", hint="write web: and the command that starts it")
    return {name: command for name, (command, _) in found.items()}


def _with_exec(command: str) -> str:
    """Return a command that replaces its shell, if it is a single one."""
    is_single = not re.search(
        r"&&|\|\||[;|&]|^\s*(?:exec|cd|export|if|for|while|\(|\{)\b|^[A-Za-z_][A-Za-z0-9_]*=", command
    )
    return f"exec {command}" if is_single else command


def _balancer() -> dict[str, Any]:
    return {
        "target_groups": {"web": {"port": _PORT, "health_check": {"protocol": "TCP"}}},
        "load_balancers": {"edge": {"listeners": [{"port": _LISTENER, "default_action": {"forward": "web"}}]}},
    }
