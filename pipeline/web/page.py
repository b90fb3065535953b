"""A page of the web interface, and the parts of it that change while it is open.

To add a page, add a module to `pipeline/web/pages` with the names `PAGES` and, if it has buttons, `ACTIONS`. No other
file changes. This is `pages/release.py`:

    def view(context: ViewContext) -> Parts:
        name = context.arguments["pipeline"]
        found = releases_of(context.reports.control, name)      # the function that the API's endpoint calls
        return {"releases": context.part("releases/table.html", pipeline=name, releases=found)}

    def promote(request: ActionRequest) -> Done:
        effect = request.reports.control.promote(request.arguments["pipeline"], by=request.user, service=None)
        return Done(effect)

    PAGES = (
        Page(
            "/pipelines/{pipeline}/releases", "releases", "Releases of {pipeline}", "releases/page.html", view,
            query=("before",),
        ),
    )
    ACTIONS = (Action("/pipelines/{pipeline}/promote", promote, back="/pipelines/{pipeline}/releases"),)

A part is one HTML element with an `id`, which is its name. `templates/releases/table.html`:

    {% from "components.html" import button, moment %}
    <section id="releases" aria-labelledby="releases-title">
      <h2 id="releases-title">Releases</h2>
      {% for release in releases %}<p>{{ release.number }} {{ release.subject }} {{ moment(release.created_at) }}</p>
      {% endfor %}
      {% if can_operate %}{{ button("/pipelines/" ~ pipeline ~ "/promote", "Promote") }}{% endif %}
    </section>

The page puts the parts where they belong. `templates/releases/page.html`:

    {% extends "base.html" %}
    {% block content %}<h1>{{ title }}</h1>{{ parts.releases }}{% endblock %}

What holds for a view:

- It runs in a thread and changes nothing. One call serves everybody who watches the page with the same arguments and
  the same role, so a part never depends on the user. `can_operate` is true for those who may use buttons.
- It is called again when something has changed, and at least every `interval` seconds while somebody watches.
  Parts whose text has changed are sent to the open pages. So a part holds no time "ago": `moment` and `since` of
  `components.html` let the browser count.
- Views share a report that costs much by `context.reports.shared("status of shop", make)`.
- A part that changes often goes into one that changes rarely: `slot("targets")` of `slots.py` in the outer part stands
  for the part `targets`, which is sent alone as long as nothing else of the outer part has changed.
- A part is an HTML element, such as `div` or `section`. SVG goes into one. A part has no inline style or script, which
  the browser refuses. Text from outside is escaped by the templates, and by `pipeline.web.svg`.
- Raise `PageMissing` for what does not exist. The message of any other `PenstockError` is shown on the page.

Scripts and style sheets of a page are files in `static`, named by `scripts` and `styles`. A script listens to
`htmx:after:swap` on the document to see changed parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.base.errors import ConfigError
from pipeline.web.reports import WebReports
from pipeline.web.templates import Templates

Parts = Mapping[str, Markup]
"""The elements of a page by their ids."""


class PageMissing(ConfigError):
    """What the address of a page names does not exist."""


@dataclass(frozen=True)
class ViewContext:
    """What a view reads. `arguments` are those of the path, and those of the query that the page names."""

    reports: WebReports
    arguments: Mapping[str, str]
    can_operate: bool
    templates: Templates

    def part(self, template: str, **values: object) -> Markup:
        """Return an element from a template. It also has `can_operate` and `arguments`."""
        return self.templates.render(template, can_operate=self.can_operate, arguments=self.arguments, **values)


View = Callable[[ViewContext], Parts]


@dataclass(frozen=True)
class Page:
    """One page. `title` may name arguments of the path in braces. One with a `label` is in the navigation, by `rank`.

    `query` are the arguments of the query that the view reads. `interval` is the longest time in seconds between two
    calls of the view while somebody watches, `is_live` false for a page that never changes while it is open.

    `opening` makes elements that the page has when it is loaded, and that only a script of the page changes. So a long
    text that grows is not sent again and again.
    """

    path: str
    name: str
    title: str
    template: str
    view: View
    label: str = ""
    rank: int = 100
    query: tuple[str, ...] = ()
    interval: float = 1.0
    is_live: bool = True
    opening: View | None = None
    scripts: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()

    @property
    def path_arguments(self) -> frozenset[str]:
        """The names of the arguments in the path."""
        return frozenset(name.partition(":")[0] for name in re.findall(r"{([^}]+)}", self.path))
