"""The HTML of whole pages: what is around the parts, and the response that carries it."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from pipeline.web.assets import Assets
from pipeline.web.identity import User
from pipeline.web.local_path import local_path
from pipeline.web.messages import WebMessage
from pipeline.web.page import Page, Parts
from pipeline.web.slots import fill_slots
from pipeline.web.templates import Templates
from pipeline.web.theme import Theme
from pipeline.web.watched_view import parts_digest

STYLE = "page.css"
SCRIPTS = ("htmx.min.js", "hx-sse.min.js", "page.js")
"""What each page loads, in this order. htmx begins in a later task, so its extension must be in the same file."""

_MIN_COMPRESSED = 1000
_FORM_FIELD = '<input type="hidden" name="csrf" value="">'


@dataclass(frozen=True)
class Frame:
    """Renders whole pages. `pages` are those in the navigation, in its order."""

    templates: Templates
    assets: Assets
    pages: Sequence[Page]

    def page(
        self,
        request: Request,
        user: User,
        page: Page,
        arguments: Mapping[str, str],
        parts: Parts,
        message: WebMessage | None,
        opening: Parts,
    ) -> Response:
        """Return a page with its parts, and with those that it has only when it is loaded."""
        live = ""
        if page.is_live:
            query = {**arguments, "digest": parts_digest(parts), "assets": self.assets.version}
            live = f"/live/{page.name}?{urlencode(query)}"
        html = self._render(
            request,
            page.template,
            user,
            title=page.title.format_map(dict(arguments)),
            styles=page.styles,
            scripts=page.scripts,
            parts={name: fill_slots(part, parts) for name, part in {**parts, **opening}.items()},
            arguments=arguments,
            message=message,
            live=live,
        )
        # The parts are the same for all users, so their forms get the user's token here. No other text can be like
        # that, because `<` is escaped. In a part that comes later, the script fills it in.
        filled = html.replace(_FORM_FIELD, _FORM_FIELD.replace('""', f'"{user.csrf_token}"'))
        return html_response(request, filled)

    def plain(
        self, request: Request, template: str, user: User | None, code: int = 200, *, title: str, **values: object
    ) -> Response:
        """Return a page without a view, such as that of an error."""
        nothing = {"styles": (), "scripts": (), "parts": {"problem": ""}, "message": None, "live": ""}
        html = self._render(request, template, user, title=title, **nothing, **values)
        return html_response(request, html, code)

    def forward(self, request: Request) -> Response:
        """Return a page that loads itself again at once."""
        return HTMLResponse(self.templates.render("continue.html", path=local_path(request.scope["path"])), 401)

    def message(self, message: WebMessage, code: int = 200) -> Response:
        """Return the element with a message, for a script that puts it into an open page."""
        return HTMLResponse(self.templates.render("message.html", message=message), code)

    def _render(self, request: Request, template: str, user: User | None, **values: object) -> str:
        return str(
            self.templates.render(
                template,
                user=user,
                can_operate=user.can_operate if user else False,
                csrf_token=user.csrf_token if user else "",
                navigation=self.pages if user else (),
                path=request.scope["path"],
                theme=Theme.of(request),
                themes=list(Theme),
                style=STYLE,
                main_scripts=SCRIPTS,
                **values,
            )
        )


def html_response(request: Request, html: str, code: int = 200) -> Response:
    """Return HTML, compressed if the browser can read it.

    An attacker could guess a compressed secret only by requests with the user's cookie, which another site cannot send.
    """
    content = html.encode()
    if len(content) < _MIN_COMPRESSED or "gzip" not in request.headers.get("accept-encoding", ""):
        return HTMLResponse(content, code, {"Vary": "Accept-Encoding"})
    compressed = gzip.compress(content, compresslevel=5, mtime=0)
    return HTMLResponse(compressed, code, {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
