"""A Compose file as its services, with the volumes and networks that they use."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from pipeline.base.suggestion import nearest
from pipeline.compose.places import Map, kind
from pipeline.compose.report import Report
from pipeline.compose.service import ComposeService, service_of
from pipeline.compose.variables import Variables
from pipeline.compose.view import View
from pipeline.compose.volumes import VolumeReader

_SECTIONS = frozenset({"version", "name", "include", "services", "volumes", "networks", "secrets", "configs", "models"})
_SERVICE_KEYS = frozenset({"image", "build", "ports", "command", "environment", "links", "volumes"})
_NAME = re.compile("[A-Za-z0-9._-]+")


@dataclass
class Project:
    """What a Compose file declares. `networks` are the external ones, `secrets` the top-level section."""

    name: str
    services: dict[str, ComposeService]
    networks: dict[str, str]
    secrets: View | None


def read_project(
    content: Map, name: str, folder: str, profiles: Collection[str], report: Report, variables: Variables
) -> Project:
    """Return the services of a Compose file that the profiles include, in the order of the file.

    Raises `ConfigError` with all mistakes if there is none.
    """
    top = View(content, "", report, variables)
    _check_sections(top)
    project = project_name(top.text("name") or name)
    volumes = VolumeReader(_volumes(top, project), folder)
    services: dict[str, ComposeService] = {}
    for key, value, place in content["services"].entries() if isinstance(content.get("services"), Map) else ():
        path = f"services.{key}"
        if not _NAME.fullmatch(key):
            report.mistake(place, path, "must have a name of letters, digits, dots, hyphens and underscores")
        elif not isinstance(value, Map):
            report.mistake(place, path, f"must be a mapping, got {kind(value)}")
        else:
            # Several services may share a mapping by an anchor.
            own = value.copy()
            own.place = place
            services[key] = service_of(key, View(own, path, report, variables), volumes)
    _check_dependencies(services)
    if not services:
        report.check()
    return Project(project, _of_profiles(services, profiles, report), _networks(top), top.view("secrets"))


def project_name(text: str) -> str:
    """Return a project's name as Compose makes it: small letters, digits, hyphens and underscores."""
    return re.sub("[^a-z0-9_-]", "", text.lower()).lstrip("_-") or "app"


def _check_sections(top: View) -> None:
    content = top.data
    services = content.get("services")
    if services is None:
        is_version_1 = any(isinstance(value, Map) and _SERVICE_KEYS & value.keys() for value in content.values())
        reason = "has no services: it has the form of version 1" if is_version_1 else "has no services"
        top.report.mistake(content.place, "", reason, "put the services below services:" if is_version_1 else "")
    elif not isinstance(services, Map):
        top.mistake("services", f"must be a mapping, got {kind(services)}")
    elif not services:
        top.mistake("services", "must have at least one service")
    for key in content:
        if key not in _SECTIONS and not key.startswith("x-") and services is not None:
            near = nearest(key, _SECTIONS)
            top.left_out(
                key, f"Compose has no such section; did you mean {near}?" if near else "Compose has no such section"
            )
    if content.get("configs"):
        top.left_out("configs", "build the files into the image, or mount them by an absolute path in volumes")


def _volumes(top: View, project: str) -> dict[str, str]:
    """Return the names of Docker's volumes, which Compose begins with that of the project."""
    section = top.view("volumes")
    found = {}
    for key in section.data if section else ():
        assert section is not None
        volume = section.view(key)
        external = volume.data.get("external") if volume else None
        name = volume.text("name") if volume else None
        if isinstance(external, Map):
            name = name or View(external, section.where(key), top.report, top.variables).text("name")
        found[key] = name or (key if external else f"{project}_{key}")
        if volume and (volume.data.get("driver_opts") or volume.data.get("driver") not in (None, "local")):
            reason = f"create it before the first run: docker volume create {found[key]} with these options"
            section.left_out(key, f"its driver and options are not set; {reason}")
    return found


def _networks(top: View) -> dict[str, str]:
    """Return the names of the external networks."""
    section = top.view("networks")
    found = {}
    for key in section.data if section else ():
        assert section is not None
        network = section.view(key)
        external = network.data.get("external") if network else None
        if not external or network is None:
            continue
        inner = View(external, section.where(key), top.report, top.variables) if isinstance(external, Map) else None
        found[key] = network.text("name") or (inner.text("name") if inner else None) or key
    return found


def _check_dependencies(services: dict[str, ComposeService]) -> None:
    for service in services.values():
        for other, options in service.depends_on.items():
            if other in services:
                continue
            value = service.view.data.get("depends_on")
            given = value.get(other) if isinstance(value, Map) else None
            if isinstance(given, Map) and given.get("required") is False:
                continue
            near = nearest(other, services)
            hint = f"did you mean {near}?" if near else "if another file has it, name both files"
            service.view.mistake("depends_on" if options else "links", f"there is no service {other}", hint)
    try:
        TopologicalSorter({name: service.depends_on.keys() for name, service in services.items()}).prepare()
    except CycleError as error:
        cycle: Sequence[str] = error.args[1]
        first = services[cycle[0]]
        first.view.mistake("depends_on", f"has a cycle: {' needs '.join(reversed(cycle))}")


def _of_profiles(
    services: dict[str, ComposeService], profiles: Collection[str], report: Report
) -> dict[str, ComposeService]:
    found = {}
    for name, service in services.items():
        own = service.view.texts("profiles")
        if own and not set(own) & set(profiles) and "*" not in profiles:
            hint = f"--profile {own[0]} includes it"
            report.left_out(service.place, name, f"it belongs to the profile {own[0]}; {hint}")
        else:
            found[name] = service
    return found
