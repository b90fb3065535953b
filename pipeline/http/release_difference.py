"""The difference of two releases: commits, images and configuration."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from pipeline.api import Revision
from pipeline.base.errors import ConfigError
from pipeline.config.deploy import OF_RELEASE
from pipeline.config.release import ReleaseSpec
from pipeline.http.configuration_difference import configuration_changes
from pipeline.http.responses.release import ReleaseResponse
from pipeline.http.responses.release_difference import (
    CommitResponse,
    ConfigurationChangeResponse,
    ImageChangeResponse,
    ReleaseDifferenceResponse,
)
from pipeline.runner.context import PipelineContext
from pipeline.runner.release_commits import gained
from pipeline.store.records import Release

# Shown apart from the configuration, or of no use to readers.
_APART = ("version", "image_id", "image_tag", "sha", "subject", "images")


def release_difference(context: PipelineContext, before: int, after: int) -> ReleaseDifferenceResponse:
    """Return what differs between two releases of a pipeline. Raises `ConfigError` if one does not exist.

    Changes nothing and asks no other machine. Values of secrets are not shown.
    """
    old, new = _release(context, before), _release(context, after)
    return ReleaseDifferenceResponse(
        before=ReleaseResponse.model_validate(old),
        after=ReleaseResponse.model_validate(new),
        added=_commits(gained(context, old.sha, new.sha)),
        removed=_commits(gained(context, new.sha, old.sha)),
        images=list(_images(old, new)),
        configuration=_masked(context, configuration_changes(_configuration(old), _configuration(new))),
    )


def _release(context: PipelineContext, number: int) -> Release:
    found = context.store.releases.get(context.pipeline, number)
    if found is None:
        raise ConfigError(f"{context.pipeline} has no release {number}", hint="`pipeline releases` lists them")
    return found


def _commits(found: Sequence[Revision] | None) -> list[CommitResponse] | None:
    return None if found is None else [CommitResponse.model_validate(each) for each in found]


def _images(old: Release, new: Release) -> Iterator[ImageChangeResponse]:
    before, after = _images_of(old), _images_of(new)
    for service in [*after, *(name for name in before if name not in after)]:
        if before.get(service) != after.get(service):
            yield ImageChangeResponse(service=service, before=before.get(service), after=after.get(service))


def _images_of(release: Release) -> dict[str, str]:
    """Return name and id of the image of each service."""
    built, spec = f"{release.image_tag} {release.image_id}", _parsed(release)
    if spec is None:
        return {"": built}
    other = {name: f"{image.name} {image.id}" for name, image in spec.images.items()}
    return {name: other.get(name, built) for name in spec.services}


def _configuration(release: Release) -> dict[str, Any]:
    """Return the configuration of a release, with the keys of pipeline.yaml."""
    spec = _parsed(release)
    if spec is None:
        # Of a stage of another package.
        stored = json.loads(release.spec)
        return {key: value for key, value in stored.items() if key not in _APART} if isinstance(stored, Mapping) else {}
    data = spec.model_dump(mode="json")
    services, shared = data["services"], data.get("shared")
    if not shared:
        return {"deploy": next(iter(services.values())), "balancer": data["balancer"]}
    own = {name: _only(settings, set(settings) - OF_RELEASE) for name, settings in services.items()}
    return {"deploy": {**_only(shared, OF_RELEASE), "services": own}, "balancer": data["balancer"]}


def _only(settings: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key in keys}


def _parsed(release: Release) -> ReleaseSpec | None:
    try:
        return ReleaseSpec.parse(release.spec)
    except ValidationError:
        return None


def _masked(
    context: PipelineContext, changes: Sequence[ConfigurationChangeResponse]
) -> list[ConfigurationChangeResponse]:
    """Return changes without the secrets of the pipeline, which an older file may have had as plain values."""
    return [
        each.model_copy(update={"before": _mask(context, each.before), "after": _mask(context, each.after)})
        for each in changes
    ]


def _mask(context: PipelineContext, value: Any) -> Any:
    if isinstance(value, str):
        return context.mask(value)
    if isinstance(value, Mapping):
        return {key: _mask(context, each) for key, each in value.items()}
    return [_mask(context, each) for each in value] if isinstance(value, list) else value
