"""`swarm`: where a Swarm may run a service, and the secrets of the Swarm that it gets."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from pipeline.balancer.model import Model
from pipeline.base.written import written
from pipeline.engine.swarm_options import SwarmOptions, SwarmSecret

_LABEL = re.compile(r"(node|engine)\.labels\.[A-Za-z_][A-Za-z0-9_.-]*")
_ATTRIBUTES = ("node.id", "node.hostname", "node.role", "node.ip", "node.platform.os", "node.platform.arch")
_CONSTRAINT = re.compile(r"(?P<key>\S+?)\s*(==|!=)\s*(?P<value>\S.*)")
# Of a Swarm: other characters are refused when the service is created.
_VALUE = re.compile(r"[a-zA-Z0-9:\-_\s.*()?+\[\]\\^$|/]+")
_SECRET = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_FILE = re.compile(r"[A-Za-z0-9._-]{1,255}")


def _constraint(value: str) -> str:
    found = _CONSTRAINT.fullmatch(value.strip())
    if found is None:
        raise ValueError(f"{value!r} is not a constraint; write such as node.labels.disk==ssd or node.role!=manager")
    if not (found["key"] in _ATTRIBUTES or _LABEL.fullmatch(found["key"])):
        names = ", ".join(_ATTRIBUTES)
        raise ValueError(f"{value!r} has no attribute of a node; write node.labels.NAME, engine.labels.NAME, {names}")
    if not _VALUE.fullmatch(found["value"]):
        raise ValueError(f"{value!r} has a value that a Swarm refuses; use letters, digits, spaces and .:-_/")
    return value.strip()


def _spread(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError(f"{value!r} is not a label of nodes; write such as node.labels.rack")
    return value


def _secret_name(value: str) -> str:
    if not _SECRET.fullmatch(value):
        raise ValueError(f"{value!r} is not a name of a secret; use letters, digits, and . - _ between them")
    return value


def _file_name(value: str) -> str:
    if not _FILE.fullmatch(value) or value in (".", ".."):
        raise ValueError(f"{value!r} is not a name of a file in /run/secrets; use letters, digits and . - _")
    return value


def _named(value: Any) -> Any:
    """Return a secret that is given by its name alone in its long form."""
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, dict | MountedSecret):
        raise ValueError(f"must be the name of a secret, got {written(value)}; write db-password")
    return value


class Preference(Model):
    """A preference of a Swarm when it chooses a node."""

    example: ClassVar[str] = "{spread: node.labels.rack}"

    spread: Annotated[str, AfterValidator(_spread)] = Field(
        description="Label of nodes over whose values the containers are spread, such as node.labels.rack."
    )


class MountedSecret(Model):
    """A secret of the Swarm as a file in the containers."""

    example: ClassVar[str] = "{name: db-password-2, file: db-password}"

    name: Annotated[str, AfterValidator(_secret_name)] = Field(description="Name of the secret in the Swarm.")
    file: Annotated[str, AfterValidator(_file_name)] | None = Field(
        None, description="Name of the file in /run/secrets. None: the name of the secret."
    )


class SwarmSettings(Model):
    """What only a Swarm has, for `deploy.runtime: swarm`."""

    example: ClassVar[str] = "{constraints: ['node.labels.disk==ssd']}"

    constraints: tuple[Annotated[str, AfterValidator(_constraint)], ...] = Field(
        (), max_length=32, description="Conditions that a node must meet, such as `node.labels.disk==ssd`. See below."
    )
    preferences: tuple[Preference, ...] = Field(
        (), max_length=8, description="Labels to spread the containers over, the first one first."
    )
    secrets: tuple[Annotated[MountedSecret, BeforeValidator(_named)], ...] = Field(
        (), max_length=64, description="Secrets of the Swarm, by name. Each is a file in /run/secrets."
    )

    @property
    def options(self) -> SwarmOptions:
        """The settings for the runtime."""
        return SwarmOptions(
            self.constraints,
            tuple(each.spread for each in self.preferences),
            tuple(SwarmSecret(each.name, each.file or each.name) for each in self.secrets),
        )
