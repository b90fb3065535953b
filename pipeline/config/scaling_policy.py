"""Reading of a scaling policy: from a YAML file, or from options of a command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.base.errors import ConfigError
from pipeline.config.document import KeyPath, dotted, mapping_at, read_document
from pipeline.config.validation import problems_of
from pipeline.scaling.policy import ScalingPolicy


class _Part(BaseModel):
    # Only the policy is checked. `pipeline validate` checks the rest of a pipeline.yaml.
    model_config = ConfigDict(extra="ignore")


class _Service(_Part):
    scaling: ScalingPolicy | None = None


class _Deploy(_Service):
    services: dict[str, _Service] | None = None


class _PolicyFile(_Service):
    deploy: _Deploy | None = None


def read_policy(path: Path, service: str | None = None) -> ScalingPolicy:
    """Return the policy of a file: `scaling`, `deploy.scaling`, or that of a service in `deploy.services`.

    Raises `ConfigError` with every problem of it, and if the file has no policy, or several and no `service`.
    """
    document = read_document(path)
    place = _place(path, document.data, service)
    kept: Any = mapping_at(document.data, *map(str, place[:-1])).get("scaling")
    for part in reversed(place):
        kept = {part: kept}
    try:
        found: Any = _PolicyFile.model_validate(kept)
    except ValidationError as error:
        problems = problems_of(error, document, _PolicyFile) + document.problems
        raise ConfigError(source=str(path), problems=tuple(sorted(problems))) from None
    if document.problems:
        raise ConfigError(source=str(path), problems=tuple(document.problems))
    for part in place:
        found = found[part] if isinstance(found, dict) else getattr(found, str(part))
    assert isinstance(found, ScalingPolicy)
    return found


def policy_from_options(values: Mapping[str, Any]) -> ScalingPolicy:
    """Return the policy with these keys. Raises `ConfigError`, with the keys as places, if it is invalid."""
    content = json.dumps({"scaling": values}).encode()
    document = read_document(Path("options"), content)
    try:
        return _PolicyFile.model_validate(document.data).scaling or ScalingPolicy.model_validate({})
    except ValidationError as error:
        lines = []
        for problem in problems_of(error, document, _PolicyFile):
            hint = f" ({problem.hint})" if problem.hint else ""
            lines.append(f"{problem.path.removeprefix('scaling').removeprefix('.')}: {problem.reason}{hint}")
        raise ConfigError("\n".join(line.removeprefix(": ") for line in lines)) from None


def _place(path: Path, data: Mapping[str, Any], service: str | None) -> KeyPath:
    services = mapping_at(data, "deploy", "services")
    places: dict[str, KeyPath] = {name: ("deploy", "services", name, "scaling") for name in services}
    places = {name: place for name, place in places.items() if "scaling" in mapping_at(services, name)}
    if service is not None:
        if service not in places:
            known = f"those with one: {', '.join(places)}" if places else "no service has one"
            raise ConfigError(f"{path}: the service {service} has no scaling", hint=known)
        return places[service]
    found: list[KeyPath] = [("scaling",)] if "scaling" in data else []
    found += [("deploy", "scaling")] if "scaling" in mapping_at(data, "deploy") else []
    found += places.values()
    if not found:
        raise ConfigError(f"{path} has no scaling", hint="add scaling: {max: 10, target: {requests_per_target: 600}}")
    if len(found) > 1:
        names = ", ".join(map(dotted, found))
        raise ConfigError(f"{path} has several policies: {names}", hint="choose one of a service: --service")
    return found[0]
