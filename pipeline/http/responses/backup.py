"""A backup of an accessory, as the control API and `--json` show it."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from pipeline.http.responses.body import Body


class BackupResponse(Body):
    """A complete backup."""

    name: str = Field(description="The name of the backup.")
    accessory: str = Field(description="The accessory.")
    image: str = Field(description="The image of the container that wrote it.")
    created_at: datetime = Field(description="Time of the backup.")
    size: int = Field(description="Size in bytes.")
    sha256: str = Field(description="Digest of its content.")
