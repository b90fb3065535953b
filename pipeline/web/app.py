"""The web interface as an application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from pipeline.base.errors import ConfigError, PenstockError
from pipeline.web.action import Action, ActionRequest, Done
from pipeline.web.assets import Asset, Assets
from pipeline.web.catalogue import Catalogue
from pipeline.web.download import Download
from pipeline.web.feed import Feed, Source, ViewKey
from pipeline.web.form import check_origin, read_form
from pipeline.web.frame import SCRIPTS, STYLE, Frame
from pipeline.web.gate import Gate
from pipeline.web.identity import Identities, User, new_secret
from pipeline.web.local_path import local_path
from pipeline.web.login import PATH, Login
from pipeline.web.messages import Messages, WebMessage
from pipeline.web.page import Page, PageMissing, Parts, ViewContext
from pipeline.web.page_threads import PageThreads
from pipeline.web.reports import WebReports
from pipeline.web.sessions import Sessions
from pipeline.web.settings import WebSettings
from pipeline.web.stream import ViewStream, reload_page
from pipeline.web.templates import Templates
from pipeline.web.theme import Theme

_MESSAGE = "message"
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}

Handler = Callable[[Request], Awaitable[Response]]
UserHandler = Callable[[Request, User], Awaitable[Response]]


class WebApp:
    """The web interface of one daemon. `address` is that of its server, `sources` report changes to open pages."""

    def __init__(
        self,
        reports: WebReports,
        settings: WebSettings,
        address: str,
        sources: Sequence[Source] = (),
        catalogue: Catalogue | None = None,
    ) -> None:
        self._reports = reports
        self._settings = settings
        self._address = address
        self._catalogue = catalogue or Catalogue.load()
        styles = {(STYLE,), *((STYLE, *page.styles) for page in self._catalogue.pages)}
        self._assets = Assets([SCRIPTS], styles)
        self._templates = Templates(self._assets, self._catalogue.loader)
        self._frame = Frame(self._templates, self._assets, self._catalogue.navigation)
        self._sessions = Sessions(reports.store, reports.clock)
        self._identities = Identities(settings, self._sessions)
        self._login = Login(self._frame, self._sessions, self._identities)
        self._messages = Messages()
        subscriptions: Sequence[Source] = (reports.sharing, reports.store.changes.subscribe, *sources)
        self._threads = PageThreads()
        self._feed = Feed(self._render, subscriptions, reports.clock, reports.forget_shared, self._threads)

    def app(self) -> Starlette:
        """Return the application. Every route but those of the login and of `static` needs a user."""
        styles = self._assets.style_hashes
        actions = [
            Route(action.path, self._sent(self._acting(action)), methods=["POST"]) for action in self._catalogue.actions
        ]
        downloads = [Route(each.path, self._seen(self._downloading(each))) for each in self._catalogue.downloads]
        pages = [Route(page.path, self._seen(self._showing(page))) for page in self._catalogue.pages]
        return Starlette(
            routes=[
                Route("/static/{name}", self._send_asset),
                Route(PATH, self._login.show),
                Route(PATH, self._begin, methods=["POST"]),
                Route("/logout", self._sent(self._end), methods=["POST"]),
                Route("/theme", self._sent(self._choose_theme), methods=["POST"]),
                Route("/live/{page}", self._seen(self._follow)),
                *actions,
                *downloads,
                *pages,
                Route("/{path:path}", self._seen(self._miss)),
            ],
            middleware=[Middleware(Gate, settings=self._settings, address=self._address, styles=styles)],
            exception_handlers={PenstockError: self._fail, HTTPException: self._refuse},
        )

    # Who may do what

    def _seen(self, handler: UserHandler) -> Handler:
        """Return a handler that needs a user."""

        async def seen(request: Request) -> Response:
            user = await run_in_threadpool(self._identities.find, request)
            if user is None:
                return self._login.needed(request)
            if user.secret:
                return await handler(request, user)
            user = replace(user, secret=new_secret())
            response = await handler(request, user)
            self._identities.with_secret(response, user)
            return response

        return seen

    def _sent(self, handler: UserHandler) -> Handler:
        """Return a handler that needs a form from a page of the user."""

        async def sent(request: Request, user: User) -> Response:
            check_origin(request, self._settings.known_hosts)
            request.state.form = await read_form(request)
            if not user.allows(request.state.form.get("csrf", "")):
                raise HTTPException(403, "the form is not from a page of this session: load the page again")
            return await handler(request, user)

        return self._seen(sent)

    # Pages

    def _showing(self, page: Page) -> UserHandler:
        async def show(request: Request, user: User) -> Response:
            key = ViewKey.of(page, _arguments(request, page), can_operate=user.can_operate)
            message = self._messages.take(user.name, request.query_params.get(_MESSAGE, ""))

            def render() -> Response:
                parts = self._parts(key)
                # After the parts, so that it is not older than they are.
                opening = page.opening(self._context(key)) if page.opening else {}
                return self._frame.page(request, user, page, dict(key.arguments), parts, message, opening)

            return await self._threads.run(page, render)

        return show

    async def _follow(self, request: Request, user: User) -> Response:
        page = self._catalogue.page(request.path_params["page"])
        if page is None or not page.is_live:
            raise HTTPException(404)
        if request.query_params.get("assets") != self._assets.version:
            return reload_page()
        query = dict(request.query_params)
        digest = request.headers.get("last-event-id") or query.get("digest", "")
        required = page.path_arguments
        if not required <= query.keys():
            raise HTTPException(404)
        arguments = {name: query[name] for name in (*required, *page.query) if name in query}
        key = ViewKey.of(page, arguments, can_operate=user.can_operate)

        async def is_allowed() -> bool:
            found = await run_in_threadpool(self._identities.find, request)
            return found is not None and found.role is user.role

        return ViewStream(self._feed, key, digest, is_allowed)

    def _parts(self, key: ViewKey) -> Parts:
        """Return all parts of a page, without a problem."""
        problem = self._templates.render("problem.html", error=None)
        return {"problem": problem, **key.page.view(self._context(key))}

    def _context(self, key: ViewKey) -> ViewContext:
        return ViewContext(self._reports, dict(key.arguments), key.can_operate, self._templates)

    def _render(self, key: ViewKey) -> Parts:
        """Return the parts of an open page, or why it cannot be shown now."""
        try:
            return self._parts(key)
        except PenstockError as error:
            return {"problem": self._templates.render("problem.html", error=error)}

    # Actions

    def _acting(self, action: Action) -> UserHandler:
        async def act(request: Request, user: User) -> Response:
            if not user.can_operate:
                raise HTTPException(403, "your role is look: ask for a link with the role operate")
            arguments = dict(request.path_params)
            asked = ActionRequest(self._reports, user.name, arguments, request.state.form)
            try:
                done = await run_in_threadpool(action.handler, asked)
                message = WebMessage(done.message)
            except PenstockError as error:
                done, message = Done(""), WebMessage(error.message, error.hint or "", is_error=True)
            self._reports.forget_shared()
            self._feed.wake()
            if "hx-request" in request.headers and not done.go_to:
                return self._frame.message(message)
            return self._back(request, user, message, done.go_to or _filled(action.back, arguments))

        return act

    def _back(self, request: Request, user: User, message: WebMessage, path: str) -> Response:
        url = f"{path}{'&' if '?' in path else '?'}{_MESSAGE}={self._messages.put(user.name, message)}"
        if "hx-request" in request.headers:
            return Response(status_code=204, headers={"HX-Redirect": url})
        return RedirectResponse(url, 303)

    async def _begin(self, request: Request) -> Response:
        check_origin(request, self._settings.known_hosts)
        return await self._login.begin(request)

    async def _end(self, _: Request, user: User) -> Response:
        return await self._login.end(user)

    async def _choose_theme(self, request: Request, _: User) -> Response:
        response = RedirectResponse(local_path(request.state.form.get("back", "")), 303)
        Theme.named(request.state.form.get("theme", "")).keep(response)
        return response

    # Everything else

    def _downloading(self, download: Download) -> UserHandler:
        async def send(request: Request, _: User) -> Response:
            arguments = {**request.path_params, "raw": request.scope["raw_path"].decode("latin-1")}
            file = await run_in_threadpool(download.open, self._reports, arguments)
            return StreamingResponse(file.chunks, headers=dict(file.headers), media_type=file.media_type)

        return send

    async def _send_asset(self, request: Request) -> Response:
        asset: Asset | None = self._assets.by_url.get(request.url.path)
        if asset is None:
            raise HTTPException(404)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                asset.compressed, headers={**_FOR_EVER, "Content-Encoding": "gzip"}, media_type=asset.media_type
            )
        return Response(asset.content, headers=_FOR_EVER, media_type=asset.media_type)

    async def _miss(self, _: Request, __: User) -> Response:
        raise HTTPException(404)

    async def _fail(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, PenstockError)
        code = 404 if isinstance(error, PageMissing) else 409 if isinstance(error, ConfigError) else 503
        return await self._error(request, code, error.message, error.hint or "")

    async def _refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        text = "there is no such page" if error.status_code == 404 else error.detail
        return await self._error(request, error.status_code, text, "")

    async def _error(self, request: Request, code: int, text: str, hint: str) -> Response:
        message = WebMessage(text, hint, is_error=True)
        if "hx-request" in request.headers:
            return self._frame.message(message, code)
        try:
            user = await run_in_threadpool(self._identities.find, request)
        except PenstockError:  # the database cannot be read, which may be the error itself
            user = None
        return self._frame.plain(request, "error.html", user, code, title="Error", error=message, number=code)


def _arguments(request: Request, page: Page) -> Mapping[str, str]:
    query = {name: request.query_params[name] for name in page.query if name in request.query_params}
    return {**query, **request.path_params}


def _filled(path: str, arguments: Mapping[str, str]) -> str:
    """Return a path with its arguments, which may contain anything."""
    return path.format_map({name: quote(value, safe="") for name, value in arguments.items()})
