"""The environment of a service."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.base.errors import ConfigError
from pipeline.compose.interpolation import Variable, parse_text
from pipeline.compose.places import Map, Seq, kind
from pipeline.compose.secret_names import is_secret, variable_name
from pipeline.compose.variables import escaped
from pipeline.compose.view import View
from pipeline.config.dotenv import parse_dotenv

SECRETS_FILE = ".secrets"
_VALID = re.compile(r"[^=\s\x00]+")
_SECRET_FILE = re.compile(r"/run/secrets/(?:\./)?([^/]+)")


def environment_of(service: View, owner: str) -> dict[str, str | None]:
    """Return the variables of a service. None is the value that the command or the daemon has."""
    found: dict[str, str | None] = {}
    mounted = secrets_of(service)
    for name, value, place in service.pairs("environment"):
        path = f"{service.where('environment')}.{name}"
        if not _VALID.fullmatch(name):
            service.report.mistake(place, path, f"must be the name of a variable, got {name!r}")
            continue
        if value is None:
            found[name] = service.variables.inherited(name, owner)
            continue
        if "\0" in value:
            service.report.mistake(place, path, "must not contain a null character")
            continue
        match = _SECRET_FILE.fullmatch(value)
        if match and match[1] in mounted and name.upper().endswith("_FILE"):
            plain = name[: -len("_FILE")]
            found[plain] = service.variables.add_secret(variable_name(match[1]), None, owner)
            is_in_command = any(name in word for word in service.words("command") or ())
            hint = (
                f"change the command, which reads {name}"
                if is_in_command
                else "if the image only reads the file, mount it by an absolute path in volumes"
            )
            service.report.note(f"{place}: {path} names the file of a secret: {plain} has its value instead; {hint}")
            continue
        found[name] = _value(service, name, value, path, owner)
    return found


def _value(service: View, name: str, value: str, path: str, owner: str) -> str:
    place = service.place("environment")
    try:
        parts = parse_text(value)
    except ValueError as error:
        service.report.mistake(place, path, str(error))
        return ""
    literal = "".join(part if isinstance(part, str) else "x" for part in parts)
    has_variables = any(isinstance(part, Variable) for part in parts)
    if not has_variables and is_secret(name, literal):
        return service.variables.add_secret(name, literal, owner)
    resolved = service.variables.refer(value, place, path, secrets=True)
    # A password that is written between variables, as in a URL.
    return service.variables.add_secret(name, None, owner) if is_secret("", resolved_literals(parts)) else resolved


def resolved_literals(parts: tuple[str | Variable, ...]) -> str:
    """Return a text with a harmless mark for each variable, so that only a literal password counts."""
    text = "".join(part if isinstance(part, str) else "\0" for part in parts)
    return re.sub(r"://([^/@\s:]*):\0@", r"://\1@", text).replace("\0", "x")


def secrets_of(service: View) -> dict[str, str]:
    """Return the secrets that a service mounts, each with its path in the container."""
    value = service.data.get("secrets")
    if value is not None and not isinstance(value, Seq):
        service.mistake("secrets", f"must be a list, got {kind(value)}")
        return {}
    found: dict[str, str] = {}
    for item in value or ():
        name = item.get("source") if isinstance(item, Map) else item
        if not isinstance(name, str):
            service.mistake("secrets", f"must be names of secrets, got {kind(item)}")
            continue
        target = item.get("target") if isinstance(item, Map) else None
        found[name] = str(target or name)
    return found


@dataclass(frozen=True)
class EnvFiles:
    """The environment files of the Compose files' folder. `is_committed` says whether a commit has a file."""

    folder: str
    read: Callable[[str], str]
    is_committed: Callable[[str], bool]

    def keys_of(self, service: View) -> dict[str, Any]:
        """Return `env_file` and `secrets` of a service. The variables of a file that no commit has become secrets."""
        files: list[Any] = []
        names: dict[str, None] = {}
        is_unknown = False
        for path, is_required in _paths(service):
            place, where = service.place("env_file"), service.where("env_file")
            if self.is_committed(path) and not path.startswith("/"):
                relative = escaped(posixpath.normpath(path))
                files.append(relative if is_required else {"path": relative, "required": False})
                continue
            found = self._values(path)
            service.report.left_out(
                place,
                f"{where} {path}",
                f"no commit has this file: its variables are secrets, so they belong in {SECRETS_FILE}",
            )
            is_unknown = is_unknown or (found is None and is_required)
            for name, value in (found or {}).items():
                service.variables.secrets.setdefault(name, value)
                names[name] = None
        own = {"secrets": "all"} if is_unknown else {"secrets": list(names)} if names else {}
        return {**({"env_file": files} if files else {}), **own}

    def _values(self, path: str) -> dict[str, str] | None:
        """Return the variables of a file that can be secrets, or None if it cannot be read."""
        try:
            text = self.read(posixpath.join(self.folder, path))
            found = parse_dotenv(text, None, path)
        except ConfigError:
            return None
        return {name: value for name, value in found.items() if name.isidentifier() and name.isascii()}


def _paths(service: View) -> Iterator[tuple[str, bool]]:
    """Yield the path of each environment file, and whether it is required."""
    for item in service.items("env_file"):
        path = item.get("path") if isinstance(item, Map) else item
        if not isinstance(path, str) or not path or "\0" in path or path.endswith("/"):
            service.mistake("env_file", f"must be the path of a file, got {kind(item)}")
            continue
        yield (
            service.variables.resolve(path, service.place("env_file"), service.where("env_file")) or ".env",
            not (isinstance(item, Map) and item.get("required") is False),
        )
        if isinstance(item, Map) and item.get("format") is not None:
            service.left_out("env_file", "its format raw is not supported: a $ in its values is a variable")
