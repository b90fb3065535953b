"""One endpoint of the control API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from pipeline.http.queries import Query
from pipeline.http.requests import Body


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of the API. `summary` is for the OpenAPI description.

    `takes` is the model of the request's body, `query` that of its query, and `gives` that of the response. The
    response holds one object, a list if `many`, or a stream of them if it `follows`.
    """

    method: str
    path: str
    summary: str
    handler: Callable[[Request], Awaitable[Response]]
    takes: type[Body] | None = None
    gives: type[BaseModel] | None = None
    code: int = 200
    many: bool = False
    follows: bool = False
    query: type[Query] | None = None


def json_response(content: BaseModel, code: int = 200) -> Response:
    """Return a response that holds an object as JSON."""
    return Response(content.model_dump_json(), code, media_type="application/json")
