"""The control API's endpoints for stacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.http.endpoint import Endpoint, json_response
from pipeline.http.parameters import read_body
from pipeline.http.queries import StackEventsQuery, StackListQuery, StackQuery, read_query
from pipeline.http.responses.stack import (
    DescribedStackResponse,
    StackDeletionResponse,
    StackEventResponse,
    StackResourceResponse,
)
from pipeline.http.stack_endpoints import (
    ContinueRollback,
    CreateStack,
    DeleteStack,
    StackCommands,
    StackOwner,
    StackResponse,
    UpdateStack,
)
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pipeline.http.stack_report import StackReport
    from pipeline.stacks.stacks import Stacks

_STACK = "/v1/stacks/{stack}"
_MAX_TEMPLATE_BODY = 4 * 2**20


class StackApi:
    """Endpoints that show the stacks of a home, and begin operations on those of a daemon. Without any, with 404."""

    def __init__(self, stacks: Callable[[], Stacks] | None, store: Store) -> None:
        self._stacks = StackCommands(stacks) if stacks else None
        self._store = store
        self.endpoints = (*self._reports(), *self._operations())

    def _reports(self) -> Sequence[Endpoint]:
        return (
            Endpoint(
                "GET",
                "/v1/stacks",
                "The stacks of an owner, newest first.",
                self._list,
                gives=DescribedStackResponse,
                many=True,
                query=StackListQuery,
            ),
            Endpoint("GET", _STACK, "A stack.", self._show, gives=DescribedStackResponse, query=StackQuery),
            Endpoint(
                "GET",
                f"{_STACK}/resources",
                "The resources of a stack.",
                self._resources,
                gives=StackResourceResponse,
                many=True,
                query=StackQuery,
            ),
            Endpoint(
                "GET",
                f"{_STACK}/events",
                "The latest events of a stack, oldest first.",
                self._events,
                gives=StackEventResponse,
                many=True,
                query=StackEventsQuery,
            ),
            Endpoint(
                "GET",
                f"{_STACK}/deletion",
                "What a deletion of a stack would do.",
                self._deletion,
                gives=StackDeletionResponse,
                query=StackQuery,
            ),
        )

    def _operations(self) -> Sequence[Endpoint]:
        gives = StackResponse
        return (
            Endpoint("POST", "/v1/stacks", "Begin to create a stack.", self._create, CreateStack, gives, 202),
            Endpoint("POST", f"{_STACK}/update", "Begin to update a stack.", self._update, UpdateStack, gives, 202),
            Endpoint("POST", f"{_STACK}/delete", "Begin to delete a stack.", self._delete, DeleteStack, gives, 202),
            Endpoint("POST", f"{_STACK}/cancel", "Cancel a stack's operation.", self._cancel, StackOwner, gives, 202),
            Endpoint(
                "POST",
                f"{_STACK}/continue",
                "Continue a rollback that has failed.",
                self._continue,
                ContinueRollback,
                gives,
                202,
            ),
        )

    async def _list(self, request: Request) -> Response:
        query = read_query(request, StackListQuery)
        found = await run_in_threadpool(self._report(query).all, with_deleted=query.deleted)
        return JSONResponse([each.as_data() for each in found])

    async def _show(self, request: Request) -> Response:
        report = self._report(read_query(request, StackQuery))
        return json_response(await run_in_threadpool(report.stack, _name(request)))

    async def _resources(self, request: Request) -> Response:
        report = self._report(read_query(request, StackQuery))
        found = await run_in_threadpool(report.resources, _name(request))
        return JSONResponse([each.as_data() for each in found])

    async def _events(self, request: Request) -> Response:
        query = read_query(request, StackEventsQuery)
        found = await run_in_threadpool(self._report(query).events, _name(request), limit=query.limit)
        return JSONResponse([each.as_data() for each in found])

    async def _deletion(self, request: Request) -> Response:
        report = self._report(read_query(request, StackQuery))
        return json_response(await run_in_threadpool(report.deletion, _name(request)))

    def _report(self, query: StackQuery) -> StackReport:
        # Imported at the first request: most daemons have no stacks.
        from pipeline.http.stack_report import StackReport

        return StackReport(self._store, query.owner)

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

    async def _continue(self, request: Request) -> Response:
        body = await read_body(request, ContinueRollback)
        return json_response(await run_in_threadpool(self._commands().continue_rollback, _name(request), body), 202)

    def _commands(self) -> StackCommands:
        if self._stacks is None:
            raise HTTPException(404, "this server has no stacks")
        return self._stacks


def _name(request: Request) -> str:
    return str(request.path_params["stack"])
