"""Releases as `pipeline releases` and the control API show them."""

from __future__ import annotations

from pipeline.http.responses.release import DetailedReleaseResponse, ReleaseResponse
from pipeline.store.store import Store


def release_responses(store: Store, pipeline: str) -> list[DetailedReleaseResponse]:
    """Return the releases of a pipeline, newest first, each with its configuration."""
    return [DetailedReleaseResponse.from_release(each) for each in store.releases.all(pipeline)]


def release_summaries(store: Store, pipeline: str) -> list[ReleaseResponse]:
    """Return the releases of a pipeline, newest first, without their configuration."""
    return [ReleaseResponse.model_validate(each) for each in store.releases.all(pipeline)]
