"""The control API's endpoints for stacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.http.endpoint import Endpoint, json_response
from pipeline.http.parameters import read_body
from pipeline.http.stack_endpoints import (
    CreateStack,
    DeleteStack,
    StackCommands,
    StackOwner,
    StackResponse,
    UpdateStack,
)

if TYPE_CHECKING:
    from pipeline.stacks.stacks import Stacks

_MAX_TEMPLATE_BODY = 4 * 2**20


class StackApi:
    """Endpoints that begin operations on the stacks of a daemon. Without any, they respond with 404."""

    def __init__(self, stacks: Callable[[], Stacks] | None) -> None:
        self._stacks = StackCommands(stacks) if stacks else None
        stack, gives = "/v1/stacks/{stack}", StackResponse
        self.endpoints = (
            Endpoint("POST", "/v1/stacks", "Begin to create a stack.", self._create, CreateStack, gives, 202),
            Endpoint("POST", f"{stack}/update", "Begin to update a stack.", self._update, UpdateStack, gives, 202),
            Endpoint("POST", f"{stack}/delete", "Begin to delete a stack.", self._delete, DeleteStack, gives, 202),
            Endpoint("POST", f"{stack}/cancel", "Cancel a stack's operation.", self._cancel, StackOwner, gives, 202),
        )

    async def _create(self, request: Request) -> Response:
        body = await read_body(request, CreateStack, _MAX_TEMPLATE_BODY)
        return json_response(await run_in_threadpool(self._commands().create, body), 202)

    async def _update(self, request: Request) -> Response:
        body = await read_body(request, UpdateStack, _MAX_TEMPLATE_BODY)
        return json_response(await run_in_threadpool(self._commands().update, _name(request), body), 202)

    async def _delete(self, request: Request) -> Response:
        body = await read_body(request, DeleteStack)
        return json_response(await run_in_threadpool(self._commands().delete, _name(request), body), 202)

    async def _cancel(self, request: Request) -> Response:
        body = await read_body(request, StackOwner)
        return json_response(await run_in_threadpool(self._commands().cancel, _name(request), body), 202)

    def _commands(self) -> StackCommands:
        if self._stacks is None:
            raise HTTPException(404, "this server has no stacks")
        return self._stacks


def _name(request: Request) -> str:
    return str(request.path_params["stack"])
