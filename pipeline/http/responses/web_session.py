"""The sessions of the web interface, as `--json` shows them."""

from __future__ import annotations

from pydantic import Field

from pipeline.http.responses.body import Body, Timestamp


class WebLoginResponse(Body):
    """A link that logs a browser in once."""

    url: str
    user: str
    role: str
    expires_at: Timestamp


class WebSessionResponse(Body):
    """A session of the web interface."""

    user: str
    role: str = Field(description="`look`, or `operate`, which includes it.")
    created_at: Timestamp
    used_at: Timestamp = Field(description="Time of the last request, up to an hour earlier than it was.")
