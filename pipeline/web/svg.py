"""SVG elements with escaped text and attributes."""

from __future__ import annotations

from markupsafe import Markup, escape

from pipeline.base.printable import escape_controls


def svg(name: str, *children: str, **attributes: object) -> Markup:
    """Return an element, such as `svg("rect", x=1, width=20.5, class_="bar")`, with children inside.

    A trailing underscore of an attribute is left out. Other underscores become hyphens. An attribute that is None is
    left out. A child is escaped unless it is `Markup`, also its control characters. A float is written with six
    digits at most.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    # `escape` leaves markup as it is. A picture has thousands of elements, for which `Markup.format` is too slow.
    inner = "".join(map(_text, children))
    return Markup(f"<{name}{written}>{inner}</{name}>")  # noqa: S704  # names are of this code, the rest is escaped


def _text(child: str) -> Markup:
    return escape(child if isinstance(child, Markup) or child.isprintable() else escape_controls(child))


def _attribute(key: str, value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f' {key.rstrip("_").replace("_", "-")}="{escape(text)}"'
