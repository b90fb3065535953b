"""What every operation works on, and how it changes the registry."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.elbv2.network import Network
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.registry import Registry
from pipeline.base.errors import ConfigError, field_errors

_M = TypeVar("_M", bound=BaseModel)


@dataclass(frozen=True)
class Api:
    """The balancer, the network around it, and the maker of what is created: `api`, or `stack/NAME`.

    Safe to use from any thread.
    """

    balancer: Balancer
    network: Network
    maker: str = "api"

    def view(self, call: Call) -> View:
        """Return what the owner of a call has."""
        return View.of(self.balancer.registry(), call)

    def change(self, call: Call, change: Callable[[View], Registry], *, soon: bool = False) -> View:
        """Change the registry: see `Balancer.change`. Return what the owner has afterwards.

        What the balancer refuses becomes `InvalidConfigurationRequest`.
        """
        try:
            registry = self.balancer.change(call.owner, lambda known: change(View.of(known, call)), soon=soon)
        except ConfigError as error:
            hint = f" ({error.hint})" if error.hint else ""
            raise AwsError("InvalidConfigurationRequest", f"{error.message}{hint}") from error
        return View.of(registry, call)

    def new(self, call: Call, **kept: JsonValue) -> dict[str, Any]:
        """Return the common fields of a resource that a call creates, with a random id."""
        created = datetime.now(UTC).isoformat(timespec="microseconds")
        return {
            "id": secrets.token_hex(8),
            "owner": call.owner,
            "made_by": self.maker,
            "tags": tags_of(call.parameters.get("Tags", ())),
            "kept": {"created": created, **kept},
        }


def tags_of(tags: Any) -> dict[str, str]:
    """Return tags as a dictionary. Raises `DuplicateTagKeys` for a key that is given twice."""
    found: dict[str, str] = {}
    for tag in tags:
        if tag["Key"] in found:
            raise AwsError("DuplicateTagKeys", f"Tag key '{tag['Key']}' is given more than once")
        found[tag["Key"]] = tag.get("Value", "")
    return found


def checked(model: type[_M], data: Mapping[str, Any], code: str = "ValidationError") -> _M:
    """Return a model made from data. Raises an error with this code, which names the first mistake."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise refusal(error, code) from error


def refusal(error: ValidationError, code: str = "ValidationError") -> AwsError:
    """Return the error for the first mistake that a model found."""
    first = error.errors(include_url=False)[0]
    cause: Any = first.get("ctx", {}).get("error")
    if found := field_errors(cause):
        cause = found[0]
    place = ".".join(str(part) for part in (*first["loc"], *(found[0].path if found else ())))
    text = str(cause) if cause else first["msg"]
    return AwsError(code, f"{place}: {text}" if place else text)
