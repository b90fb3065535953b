"""An action that a button of a page begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.web.reports import WebReports


@dataclass(frozen=True)
class ActionRequest:
    """One press of a button. `arguments` are those of the path, `form` the fields of the form. `user` is for events."""

    reports: WebReports
    user: str
    arguments: Mapping[str, str]
    form: Mapping[str, str]


@dataclass(frozen=True)
class Done:
    """The effect of an action, in a sentence. `go_to` is a path of this server to show next, empty to stay."""

    message: str
    go_to: str = ""


@dataclass(frozen=True)
class Action:
    """A POST request that needs the role operate.

    `handler` runs in a thread. It calls the function that the API's endpoint calls, with `by=request.user`. The message
    of a `PenstockError` is shown. `back` is the page to return to without JavaScript. It may name arguments of the path
    in braces.
    """

    path: str
    handler: Callable[[ActionRequest], Done]
    back: str
