"""From Compose files to a pipeline.yaml for each image that they build."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pipeline.base.errors import ConfigError
from pipeline.compose.environment import SECRETS_FILE, EnvFiles
from pipeline.compose.files import ComposeFiles, Read
from pipeline.compose.naming import joined_name, name_services, short_name
from pipeline.compose.options import note_unknown
from pipeline.compose.project import Project, read_project
from pipeline.compose.report import Report
from pipeline.compose.roles import Roles, split_roles
from pipeline.compose.sections import Context, accessory_of, build_of, deployed_of, release_command_of
from pipeline.compose.service import ComposeService
from pipeline.compose.traffic import Traffic, publish_all
from pipeline.compose.variables import Variables
from pipeline.config.dotenv import parse_dotenv

_SECRET = re.compile(r"(?<!\$)\$\{secret:([A-Za-z_][A-Za-z0-9_]*)\}")
_EXPOSE = re.compile(r"^\s*EXPOSE\s+(\d{1,5})\b", re.MULTILINE | re.IGNORECASE)


_FILES = frozenset({"env_file", "secrets"})


@dataclass(frozen=True)
class Where:
    """The place of a Compose file: its absolute `folder`, and `in_repository`, the path from the repository's root.

    `name` is that of the project, unless the file has one. `dotenv` is the text of the file `.env`, None without one.
    `is_committed` says whether a commit has a file, given by its path from the folder.
    """

    folder: str = "/"
    in_repository: str = "."
    name: str = "app"
    dotenv: str | None = None
    is_committed: Callable[[str], bool] = bool


@dataclass(frozen=True)
class ImportedFile:
    """A pipeline.yaml, as data. `name` is that of the pipeline, `service` the first one of its image."""

    name: str
    service: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Imported:
    """What a Compose file becomes: the pipelines, what they leave out, and the values of their secrets.

    The value of a secret is None if no file has it.
    """

    files: tuple[ImportedFile, ...]
    notes: tuple[str, ...]
    secrets: Mapping[str, str | None] = field(default_factory=dict)


def translate(
    files: Sequence[str],
    read: Read,
    *,
    where: Where | None = None,
    profiles: Sequence[str] = (),
    service: str | None = None,
    writes_secrets: bool = False,
) -> Imported:
    """Return the pipelines of Compose files, each of which overrides the ones before it.

    `service` is the one whose image the first pipeline builds. With `writes_secrets`, the caller writes the known
    secrets to a file, so the notes name only the others. Raises `ConfigError` with all mistakes.
    """
    where = where or Where()
    report = Report()
    dotenv = _dotenv(where)
    variables = Variables(dotenv, report)
    content = ComposeFiles(read, report).load(files)
    report.check()
    included = [*profiles, *dotenv.get("COMPOSE_PROFILES", "").split(",")]
    name = dotenv.get("COMPOSE_PROJECT_NAME") or where.name
    project = read_project(content, name, where.folder, included, report, variables)
    pipelines = split_roles(project, service, report)
    translation = _Translation(project, where, report, read, is_alone=len(pipelines) == 1)
    found = [translation.pipeline(roles, is_first=index == 0) for index, roles in enumerate(pipelines)]
    report.check()
    translation.note_others(found)
    _note_values(variables, report, writes_secrets)
    return Imported(tuple(found), report.notes, dict(variables.secrets))


def _dotenv(where: Where) -> dict[str, str]:
    if where.dotenv is None:
        return {}
    try:
        return parse_dotenv(where.dotenv, {}, ".env")
    except ConfigError:
        # Compose replaces an unset variable with nothing, which our own reader refuses.
        return parse_dotenv(where.dotenv, None, ".env")


def _note_values(variables: Variables, report: Report, writes_secrets: bool) -> None:
    if variables.unset:
        names = ", ".join(variables.unset)
        report.note(f"without a value in .env, and so empty unless the daemon's environment has them: {names}")
    known = [] if writes_secrets else [name for name, value in variables.secrets.items() if value is not None]
    if names := ", ".join(name for name, value in variables.secrets.items() if value is None or name in known):
        report.note(
            f"secrets, which {SECRETS_FILE} (mode 0600, NAME=value lines) or the environment must have: {names}"
        )
    if known:
        report.note(f"--secrets {SECRETS_FILE} writes those with a value in Compose: {', '.join(known)}")
    if empty := ", ".join(name for name in known if variables.secrets[name] == ""):
        report.note(f"secrets that are empty in Compose, so write NAME= for them: {empty}")


class _Translation:
    def __init__(self, project: Project, where: Where, report: Report, read: Read, *, is_alone: bool) -> None:
        self._project = project
        self._where = where
        self._report = report
        self._read = read
        self._names = name_services(project.services.values(), report)
        mounted = Counter(source for each in project.services.values() for source in each.mounts.sources)
        self._context = Context(
            EnvFiles(where.folder, read, where.is_committed),
            project.networks,
            frozenset(source for source, count in mounted.items() if count > 1),
            self._names,
            None if is_alone else project.name,
        )

    def pipeline(self, roles: Roles, *, is_first: bool) -> ImportedFile:
        """Return the pipeline.yaml of one image."""
        own = roles.services or roles.accessories
        main = own[0].name if own else ""
        project = short_name(self._project.name).lower()
        name = project if is_first else joined_name(project, self._names[main]).lower()
        traffic = Traffic(self._names, self._report, self._exposed_port)
        publish_all(traffic, roles.services, roles.proxies, self._report)
        self._context.published.update(traffic.published)
        accessories = {self._names[each.name]: self._accessory(each) for each in roles.accessories}
        services = {self._names[each.name]: self._deployed(each, roles, traffic) for each in roles.services}
        release = self._release(roles)
        deploy = _deploy(services, release, roles.image)
        self._report_empty(roles)
        sections: dict[str, Any] = {
            "source": self._source(),
            "build": self._build(roles),
            "accessories": accessories,
            "deploy": deploy,
            "balancer": traffic.section(),
        }
        content: dict[str, Any] = {"name": name}
        content |= {key: value for key, value in sections.items() if value or key == "deploy"}
        containers = (deploy, *services.values(), *accessories.values())
        if any(True for _ in secret_names(content)) or any("secrets" in each for each in containers):
            content = {"name": name, "secrets": {"file": SECRETS_FILE}, **content}
        for each in (*roles.services, *roles.accessories, *([roles.release] if roles.release else [])):
            self._note_service(each)
        return ImportedFile(name, main, content)

    def note_others(self, files: Sequence[ImportedFile]) -> None:
        """Note the pipelines besides the first one, and how their containers reach one another."""
        for other in files[1:]:
            self._report.note(
                f"{other.service} has an image of its own, and a pipeline builds one: it is the pipeline {other.name}"
            )
        if len(files) > 1:
            names = " and ".join((", ".join(file.name for file in files[:-1]), files[-1].name))
            network = self._context.joined
            self._report.note(f"{names} reach one another in the network {network}: docker network create {network}")

    def _accessory(self, service: ComposeService) -> dict[str, Any]:
        return accessory_of(service, self._context)

    def _deployed(self, service: ComposeService, roles: Roles, traffic: Traffic) -> dict[str, Any]:
        found = deployed_of(service, self._context, traffic.group_of(service))
        deployed = {each.name for each in roles.services}
        after = [self._names[name] for name in service.depends_on if name in deployed]
        if after:
            found["after"] = after
        if service.name in traffic.timeouts:
            found["deploy_timeout"] = traffic.timeouts[service.name]
        return found

    def _release(self, roles: Roles) -> dict[str, Any]:
        return release_command_of(roles.release, self._context) if roles.release else {}

    def _build(self, roles: Roles) -> dict[str, Any]:
        builder = next((each.builder for each in roles.services if each.build == roles.build), None)
        return build_of(builder, self._where.in_repository, self._project.secrets) if builder else {}

    def _source(self) -> dict[str, Any]:
        """Return where the repository is, if the Compose file is below its root."""
        root = posixpath.relpath(".", self._where.in_repository)
        return {"repository": root} if root != "." else {}

    def _report_empty(self, roles: Roles) -> None:
        if roles.build is None and not roles.services:
            self._report.note("no service is an application: deploy builds the Dockerfile of this repository")

    def _note_service(self, service: ComposeService) -> None:
        note_unknown(service.view, service.name)

    def _exposed_port(self, service: ComposeService) -> int | None:
        """Return the port in the EXPOSE of the Dockerfile of a service, or None."""
        if service.build is None or "://" in service.build.context:
            return None
        with suppress(ConfigError):
            path = posixpath.join(self._where.folder, service.build.context, service.build.dockerfile)
            match = _EXPOSE.search(self._read(posixpath.normpath(path)))
            return int(match[1]) if match else None
        return None


def _deploy(services: dict[str, dict[str, Any]], release: dict[str, Any], image: str | None) -> dict[str, Any]:
    """Return the section `deploy`. What all services have in common is in it once.

    `image` is the one that is deployed if none is built.
    """
    shared: dict[str, Any] = {}
    for each in services.values():
        if image and each.get("image") == image:
            del each["image"]
    if len(services) == 1:
        ((_, only),) = services.items()
        if "image" not in only:
            shared, services = only, {}
    elif services:
        shared = _take_shared(services)
    if release:
        shared = {**shared, **_release(release, shared)}
    return {**({"image": image} if image else {}), **shared, **({"services": services} if services else {})}


def _release(release: dict[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return `release_command` with the variables that `deploy` does not have, and the files that it needs."""
    known = shared.get("environment", {})
    own = {name: value for name, value in release.get("environment", {}).items() if known.get(name, "\0") != value}
    secrets = {"secrets": release["secrets"]} if "secrets" in release and "secrets" not in shared else {}
    command = {key: value for key, value in release.items() if key not in ("secrets", "environment")}
    if command.get("env_file") == shared.get("env_file"):
        command.pop("env_file", None)
    return {**secrets, "release_command": {**command, **({"environment": own} if own else {})}}


def _take_shared(services: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Remove from all services what each of them has, and return it."""
    shared: dict[str, Any] = {}
    first, *others = services.values()
    for key in _FILES:
        if key in first and all(each.get(key) == first[key] for each in others):
            shared[key] = first[key]
    own = first.get("environment", {})
    common = {
        name: value
        for name, value in own.items()
        if all(each.get("environment", {}).get(name, "\0") == value for each in others)
    }
    if common:
        shared["environment"] = common
    for each in services.values():
        for key in shared.keys() & _FILES:
            del each[key]
        if common:
            rest = {name: value for name, value in each["environment"].items() if name not in common}
            each["environment"] = rest
            if not rest:
                del each["environment"]
    return shared


def secret_names(value: Any) -> Iterator[str]:
    """Yield the name of each secret in a content."""
    if isinstance(value, str):
        yield from _SECRET.findall(value)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from secret_names(item)
