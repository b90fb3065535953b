"""What a request to the control API names: in its path, its query, its headers and its body.

Each function raises `HTTPException` for a value that it cannot use.
"""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from pipeline.base.errors import ConfigError
from pipeline.base.whole_number import whole_number
from pipeline.http.requests import Body
from pipeline.store import queue

_MAX_BODY = 64 * 1024
B = TypeVar("B", bound=Body)


async def read_body(request: Request, form: type[B], limit: int = _MAX_BODY) -> B:
    """Return the body of a request, which is JSON of at most `limit` bytes. An empty body is an empty object."""
    content = b""
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > limit:
                raise HTTPException(413, f"the body is larger than {limit >> 10} KiB")
    except ClientDisconnect:
        raise HTTPException(400, "the body is shorter than its Content-Length") from None
    try:
        return form.model_validate_json(content or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        raise HTTPException(400, f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from None


def run_in_path(request: Request) -> tuple[str, int]:
    """Return the pipeline and the number of a run."""
    name, text = request.path_params["pipeline"], request.path_params["number"]
    number = whole_number(text)
    if number is None:
        raise HTTPException(404, f"{name} has no run {text[:40]}")
    return name, number


def transition_in_path(request: Request) -> tuple[str, str]:
    """Return the pipeline and the stage of a transition. Raises `ConfigError` for an unknown stage."""
    stage = request.path_params["stage"]
    if stage not in queue.STAGES:
        raise ConfigError(f"unknown stage {stage}", hint=f"the stages are {', '.join(queue.STAGES)}")
    return request.path_params["pipeline"], stage


def number_in_query(request: Request, name: str, default: int) -> int:
    """Return a number of the query."""
    return _parsed(name, request.query_params.get(name, str(default)))


def _parsed(name: str, text: str) -> int:
    number = whole_number(text)
    if number is None:
        raise HTTPException(400, f"{name}: must be a number, got {text[:40]!r}")
    return number


def events_after(request: Request) -> int | None:
    """Return the id after which a stream starts: the header of a browser that reconnects, or the query.

    None stands for `now`, the latest event.
    """
    header = request.headers.get("last-event-id", "")
    if header:
        return _parsed("Last-Event-ID", header)
    return None if request.query_params.get("after") == "now" else number_in_query(request, "after", 0)
