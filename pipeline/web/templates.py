"""The templates of the pages."""

from __future__ import annotations

from jinja2 import BaseLoader, Environment, StrictUndefined
from markupsafe import Markup

from pipeline.base.printable import escape_controls
from pipeline.web.assets import Assets
from pipeline.web.icons import icon
from pipeline.web.times import moment, since


class Templates:
    """Renders templates. Every value is escaped unless it is `Markup`, and a missing one is an error.

    Control characters are shown as escapes. Marks of writing direction could make a page say something else.

    Safe to use from any thread.
    """

    def __init__(self, assets: Assets, loader: BaseLoader) -> None:
        self._environment = Environment(
            loader=loader,
            autoescape=True,
            finalize=_printable,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(
            asset=assets.url, style_sheet=assets.style, icon=icon, moment=moment, since=since
        )
        self._environment.filters["zip"] = zip

    def render(self, template: str, **values: object) -> Markup:
        """Return the HTML of a template. Raises an error of jinja2 for a mistake in it."""
        return Markup(self._environment.get_template(template).render(values))  # noqa: S704  # every value was escaped


def _printable(value: object) -> object:
    # Forms send lines that end in both.
    return escape_controls(value.replace("\r\n", "\n")) if type(value) is str else value
