"""The sections of pipeline.yaml that come from services: `deploy`, `accessories` and `build`."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.compose.commands import command_of
from pipeline.compose.environment import EnvFiles, environment_of
from pipeline.compose.health import command_check
from pipeline.compose.options import container_options, joined_networks
from pipeline.compose.secret_names import is_secret_name
from pipeline.compose.service import ComposeService
from pipeline.compose.view import View

_DEVELOPMENT = (
    "runserver",
    "--reload",
    "nodemon",
    "npm run dev",
    "yarn dev",
    "pnpm dev",
    "air",
    "--debug",
    "flask run",
)
_SHELL_MIGRATION = ("migrate ", "migrate;", "migrate&", "upgrade head", "db:migrate", "migrate deploy")
_MAX_REPLICAS = 500
_OF_RELEASE = frozenset({"command", "entrypoint", "environment", "env_file", "secrets"})


@dataclass(frozen=True)
class Context:
    """What the services of a project share. `networks` are the external ones.

    `volumes` are those that several services mount. `names` are the names of services in pipeline.yaml. `joined` is a
    network in which the containers of several pipelines reach one another, None with a single pipeline.
    """

    env_files: EnvFiles
    networks: Mapping[str, str]
    volumes: frozenset[str]
    names: Mapping[str, str]
    joined: str | None
    published: dict[tuple[int, str], str] = field(default_factory=dict)
    """The owners of the ports of this machine."""


def container_of(service: ComposeService, context: Context) -> dict[str, Any]:
    """Return what a container of a service is made from, besides its image and its health."""
    view = service.view
    environment = environment_of(view, service.name)
    found: dict[str, Any] = {}
    for key in ("command", "entrypoint"):
        words = view.words(key)
        if words or (words is not None and key == "entrypoint"):
            found[key] = command_of(view, key, words, environment)
    found |= context.env_files.keys_of(view)
    if environment:
        found["environment"] = environment
    service.mounts.report_to(view.report, service.name)
    if service.mounts.volumes:
        found["volumes"] = list(service.mounts.volumes)
    return {**found, **container_options(view, service.mounts.tmpfs, context.networks), **_networks(service, context)}


def accessory_of(service: ComposeService, context: Context) -> dict[str, Any]:
    """Return an accessory."""
    container = container_of(service, context)
    if service.check and not service.check.is_empty:
        environment = container.setdefault("environment", {})
        container["health_check"] = command_check(service.check, environment)
        if not environment:
            del container["environment"]
    found = {"image": service.image, **container}
    if ports := _published(service, context):
        found["ports"] = ports
    return found


def _published(service: ComposeService, context: Context) -> list[str]:
    """Return the ports of an accessory. Each port of this machine is published once."""
    found: list[str] = []
    for port in service.ports:
        owner = context.published.setdefault((port.published, port.protocol), service.name)
        if owner != service.name or port.text in found:
            reason = f"{owner} has the port {port.published} of this machine"
            service.view.report.left_out(port.place, f"port {port.text} of {service.name}", reason)
            continue
        if not port.ip and not found:
            reason = f"they listen on 127.0.0.1 only; write 0.0.0.0:{port.text} for all addresses"
            service.view.report.note(f"{port.place}: the ports of {service.name} are not public: {reason}")
        found.append(port.text)
    return found


def _networks(service: ComposeService, context: Context) -> dict[str, Any]:
    """Return `networks` with the network of several pipelines, in which the service has its own name."""
    if context.joined is None:
        return {}
    found: dict[str, Any] = joined_networks(service.view, context.networks)
    return {"networks": {**found, context.joined: {"aliases": [context.names[service.name]]}}}


def deployed_of(service: ComposeService, context: Context, group: str | None) -> dict[str, Any]:
    """Return one of `deploy.services`, without `after`."""
    found: dict[str, Any] = {}
    if service.build is None:
        found["image"] = service.image
    if group:
        found["target_group"] = group
    container = container_of(service, context)
    if group is None and service.check and not service.check.is_empty:
        environment = container.setdefault("environment", {})
        container["health_check"] = command_check(service.check, environment)
        if not environment:
            del container["environment"]
    found |= container
    found |= _size(service, context.volumes)
    if service.restart.startswith("on-failure"):
        found["restart"] = "on-failure"
    note_command(service)
    return found


def _size(service: ComposeService, shared: frozenset[str]) -> dict[str, Any]:
    """Return `replicas` and `rolling`."""
    view = service.view
    deploy = view.view("deploy")
    replicas = deploy.whole("replicas") if deploy else None
    replicas = view.whole("scale") if replicas is None else replicas
    found: dict[str, Any] = {}
    if replicas is not None and replicas < 1:
        view.report.note(f"{service.place}: {service.name} has {replicas} containers: one is assumed")
    elif replicas and replicas > 1:
        found["replicas"] = min(replicas, _MAX_REPLICAS)
    update = deploy.view("update_config") if deploy else None
    if service.build is None and service.mounts.is_stateful and service.mounts.sources - shared:
        # Two containers must not use the volume at once.
        found["rolling"] = {"max_surge": 0, "max_unavailable": 1}
    elif update:
        count = max(update.whole("parallelism") or 1, 1)
        is_stop_first = update.text("order") != "start-first"
        found["rolling"] = {
            "max_surge": 0 if is_stop_first else count,
            "max_unavailable": count if is_stop_first else 0,
        }
    for key in ("placement", "endpoint_mode", "mode", "rollback_config"):
        if deploy and key in deploy and deploy.data[key] != "replicated":
            deploy.left_out(key, "it is for Docker Swarm")
    return found


def note_command(service: ComposeService) -> None:
    """Note a command that is for development, or that migrates a database at each start."""
    view, text = service.view, " ".join(map(str, service.view.words("command") or ()))
    padded = f" {text} "
    if any(f" {word} " in padded for word in _DEVELOPMENT):
        view.report.note(f"{view.place('command')}: the command of {service.name} is for development: `{text[:100]}`")
    elif any(word in f"{text} " for word in _SHELL_MIGRATION):
        view.report.note(
            f"{view.place('command')}: the command of {service.name} migrates at each start of each container: "
            "deploy.release_command runs once a release"
        )


def release_command_of(job: ComposeService, context: Context) -> dict[str, Any]:
    """Return `release_command` with the whole environment of the service that it comes from."""
    container = container_of(job, context)
    found = {key: container[key] for key in sorted(_OF_RELEASE) if key in container}
    if "command" not in found:
        # Compose runs the entrypoint alone, and a release command has a command in any case.
        found["command"] = found.pop("entrypoint")
        found["entrypoint"] = []
    for key in container.keys() - _OF_RELEASE - {"networks"}:
        if key in job.view.data or key in ("memory", "cpus", "stop_grace"):
            job.view.left_out(key, "a release command has the settings of deploy")
    return found


def build_of(view: View, folder: str, secrets: View | None) -> dict[str, Any]:
    """Return the section `build`. `folder` is that of the Compose file in its repository."""
    if not isinstance(view.data.get("build"), dict):
        return _context(view, "build", view.text("build") or ".", folder)
    build = view.view("build")
    assert build is not None
    found = _context(build, "context", build.text("context") or ".", folder)
    if (dockerfile := build.text("dockerfile")) and posixpath.normpath(dockerfile) != "Dockerfile":
        found |= _dockerfile(build, posixpath.normpath(dockerfile), found)
    if target := build.reference("target"):
        found["target"] = target
    if args := _arguments(build):
        found["args"] = args
    for key in ("cache_from", "cache_to", "platforms", "ssh"):
        if values := build.texts(key):
            found[key] = values
    if names := _build_secrets(build, secrets):
        found["secrets"] = names
    for key in build.data:
        if key not in (
            *("context", "dockerfile", "target", "args", "cache_from", "cache_to", "platforms", "ssh"),
            "secrets",
        ):
            build.left_out(key, "the build has no such option")
    return found


def _context(view: View, key: str, text: str, folder: str) -> dict[str, Any]:
    if "://" in text or text.startswith(("git@", "github.com/")):
        view.left_out(
            key, "the build context is in the repository of the pipeline; write source.repository for another"
        )
        return {}
    path = posixpath.normpath(posixpath.join(folder, text))
    if path.startswith(("..", "/")):
        view.left_out(key, f"{text} is outside of the repository")
        return {}
    return {"context": path} if path != "." else {}


def _dockerfile(build: View, path: str, found: Mapping[str, Any]) -> dict[str, Any]:
    if not path.startswith(("..", "/")):
        return {"dockerfile": path}
    context = found.get("context", ".")
    absolute = posixpath.normpath(posixpath.join(context, path))
    build.left_out(
        "dockerfile",
        f"it must be inside the context {context}; with context: . it would be {absolute.lstrip('./') or absolute}",
    )
    return {}


def _arguments(build: View) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name, value, place in build.pairs("args"):
        if is_secret_name(name):
            reason = "it looks like a secret, and arguments stay in the image: use build.secrets"
            build.report.left_out(place, f"{build.where('args')}.{name}", reason)
        elif not name.isidentifier() or not name.isascii():
            build.report.mistake(place, build.where("args"), f"must be the name of an argument, got {name!r}")
        else:
            found[name] = None if value is None else build.variables.refer(value, place, build.where("args"))
    return found


def _build_secrets(build: View, secrets: View | None) -> dict[str, str]:
    found = {}
    for item in build.items("secrets"):
        name = item.get("source") if isinstance(item, dict) else item
        key = str(item.get("target") or name) if isinstance(item, dict) else str(name)
        declared = secrets.view(str(name)) if secrets and secrets.data.get(str(name)) else None
        variable = declared.text("environment") if declared else None
        found[key] = build.variables.add_secret(variable or str(name), None, str(name))
    return found
