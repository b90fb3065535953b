"""The difference of two releases, as the control API and `--json` show it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pipeline.http.responses.body import Body, Timestamp
from pipeline.http.responses.release import ReleaseResponse


class CommitResponse(Body):
    """A commit."""

    sha: str = Field(description="The commit.")
    author: str = Field(description="The commit's author.")
    subject: str = Field(description="The first line of the commit's message.")
    committed_at: Timestamp = Field(description="Time of the commit.")


class ImageChangeResponse(Body):
    """The image of a service in two releases. Null in a release without the service."""

    service: str = Field(description="The service, or job.")
    before: str | None = Field(description="Name and id of the image in the first release.")
    after: str | None = Field(description="Name and id of the image in the second release.")


class ConfigurationChangeResponse(Body):
    """A key of pipeline.yaml that differs. A hidden value is `(hidden)`."""

    key: str = Field(description="The path of the key, such as `deploy.environment.LOG_LEVEL`.")
    change: Literal["added", "removed", "changed"] = Field(description="What the second release did to it.")
    before: Any = Field(description="The value in the first release, null if it is added.")
    after: Any = Field(description="The value in the second release, null if it is removed.")


class ReleaseDifferenceResponse(Body):
    """What differs between two releases."""

    before: ReleaseResponse = Field(description="The first release.")
    after: ReleaseResponse = Field(description="The second release.")
    added: list[CommitResponse] | None = Field(
        description="Commits of the second release that the first one has not, newest first, along the first parents, "
        "at most 1,000. Null if the mirror does not have both."
    )
    removed: list[CommitResponse] | None = Field(
        description="Commits of the first release that the second one has not. Null as `added`."
    )
    images: list[ImageChangeResponse] = Field(description="The services with another image.")
    configuration: list[ConfigurationChangeResponse] = Field(description="The keys that differ, in order.")
