"""`networks`: Docker's networks that a container joins besides that of its pipeline, in Compose's forms."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from pipeline.balancer.model import Model
from pipeline.base.errors import FieldError
from pipeline.base.written import written

_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ALIAS = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,253}[A-Za-z0-9_])?")
# Docker's networks that no container can join besides another one.
_ALONE = ("host", "none")
# Compose's name of the project's own network.
_OWN = "default"
# Docker has no aliases in it.
_BRIDGE = "bridge"


class Membership(Model):
    """How a container joins a network."""

    aliases: tuple[str, ...] = Field((), description="Host names of the containers in this network.")


def _as_mapping(value: Any) -> Any:
    """Return a list of names as a mapping."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list or a mapping of networks, got {written(value)}")
    found: dict[str, dict[str, Any]] = {}
    for index, name in enumerate(value):
        if not isinstance(name, str):
            raise FieldError(index, f"must be the name of a network, got {written(name)}")
        try:
            found[_network(name)] = {}
        except ValueError as error:
            raise FieldError(index, str(error)) from None
    return found


def _network(value: str) -> str:
    if value in _ALONE:
        raise ValueError(f"{value} must not be combined with the pipeline's own network, which every container has")
    if value == _OWN:
        raise ValueError(f"{value} must be left out: every container is in the pipeline's own network")
    if not _NETWORK.fullmatch(value):
        raise ValueError(f"{value!r} is not a valid name of a network; write one that `docker network ls` lists")
    return value


def _check_aliases(networks: dict[str, Membership]) -> dict[str, Membership]:
    for name, membership in networks.items():
        if name == _BRIDGE and membership.aliases:
            raise FieldError((name, "aliases"), "must be empty: Docker has no aliases in the network bridge")
        for index, alias in enumerate(membership.aliases):
            if not _ALIAS.fullmatch(alias):
                raise FieldError((name, "aliases", index), f"{alias!r} is not a valid host name")
    return networks


JoinedNetworks = Annotated[
    dict[Annotated[str, AfterValidator(_network)], Membership],
    BeforeValidator(_as_mapping),
    AfterValidator(_check_aliases),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string"}},
                {
                    "type": "object",
                    "additionalProperties": {
                        "anyOf": [
                            {"type": "null"},
                            {
                                "type": "object",
                                "additionalProperties": False,
                                "properties": {"aliases": {"type": "array", "items": {"type": "string"}}},
                            },
                        ]
                    },
                },
            ]
        }
    ),
]
