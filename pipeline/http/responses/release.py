"""A release, as the control API and `--json` show it."""

from __future__ import annotations

import json
from typing import Any, Self

from pydantic import Field

from pipeline.http.responses.body import Body, Timestamp
from pipeline.store import records
from pipeline.store.records import ReleaseState


class ReleaseResponse(Body):
    """A release."""

    pipeline: str = Field(description="The pipeline's name.")
    number: int = Field(description="The release's number, counted per pipeline.")
    run: int = Field(description="The run that created it.")
    sha: str = Field(description="The commit.")
    subject: str = Field(description="The first line of the commit's message.")
    image_id: str = Field(description="The content digest of the image.")
    image_tag: str = Field(description="The image's tag.")
    state: ReleaseState = Field(description="Current state.")
    created_at: Timestamp = Field(description="Time of creation.")


class DetailedReleaseResponse(ReleaseResponse):
    """A release with its configuration."""

    spec: Any = Field(description="The release's configuration.")

    @classmethod
    def from_release(cls, release: records.Release) -> Self:
        """Return the response for a release of the store."""
        return cls.model_validate({**vars(release), "spec": json.loads(release.spec)})
