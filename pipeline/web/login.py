"""How a session begins and ends."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.store.web_sessions import WebLogin
from pipeline.web.form import read_form
from pipeline.web.frame import Frame
from pipeline.web.identity import Identities, User
from pipeline.web.sessions import Sessions

PATH = "/login"


class Login:
    """The page behind a link of `pipeline web login`, and the end of a session.

    Only its button uses the link up, because programs that preview links open them, too.
    """

    def __init__(self, frame: Frame, sessions: Sessions, identities: Identities) -> None:
        self._frame = frame
        self._sessions = sessions
        self._identities = identities

    async def show(self, request: Request) -> Response:
        """Show the button, or how to get a link."""
        secret = request.query_params.get("link", "")
        found = await run_in_threadpool(self._sessions.find_login, secret) if secret else None
        return self._page(request, secret if found else "", found, refused=bool(secret) and not found)

    async def begin(self, request: Request) -> Response:
        """Begin a session with a link."""
        form = await read_form(request)
        secret = await run_in_threadpool(self._sessions.begin, form.get("link", ""))
        if secret is None:
            return self._page(request, refused=True, code=403)
        response = RedirectResponse("/", 303)
        self._identities.begin(response, secret)
        return response

    async def end(self, user: User) -> Response:
        """End the session of a user."""
        await run_in_threadpool(self._sessions.end, user.secret)
        response = RedirectResponse(PATH, 303)
        self._identities.end(response)
        return response

    def needed(self, request: Request) -> Response:
        """Return the answer to a request without a session.

        A script loads the page again, which then says so. A browser that follows a link of another site, such as a
        chat, sends no cookie. So the page loads itself, as a link of this site.
        """
        if "hx-request" in request.headers:
            return Response(status_code=401, headers={"HX-Refresh": "true"})
        if request.method == "GET" and request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return self._frame.forward(request)
        return self._page(request, code=401)

    def _page(
        self,
        request: Request,
        link: str = "",
        login: WebLogin | None = None,
        *,
        refused: bool = False,
        code: int = 200,
    ) -> Response:
        values = {"link": link, "login": login, "refused": refused}
        return self._frame.plain(request, "login.html", None, code, title="Log in", **values)
