"""SVG elements with escaped text and attributes."""

from __future__ import annotations

from markupsafe import Markup, escape

_ELEMENT = Markup("<{0}{1}>{2}</{0}>")


def svg(name: str, *children: str, **attributes: object) -> Markup:
    """Return an element, such as `svg("rect", x=1, width=20.5, class_="bar")`, with children inside.

    A trailing underscore of an attribute is left out. Other underscores become hyphens. An attribute that is None is
    left out. A child is escaped unless it is `Markup`. A float is written with six digits at most.
    """
    written = Markup().join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    return _ELEMENT.format(name, written, Markup().join(children))


def _attribute(key: str, value: object) -> Markup:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), escape(text))
