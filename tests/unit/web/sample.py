"""Pages with a button, for tests of what all pages share."""

from __future__ import annotations

from dataclasses import dataclass, field

from jinja2 import ChoiceLoader, DictLoader, PackageLoader

from pipeline.base.errors import ConfigError
from pipeline.web.action import Action, ActionRequest, Done
from pipeline.web.catalogue import Catalogue
from pipeline.web.page import Page, PageMissing, Parts, ViewContext

ACTION = "/samples/a/press"
_TEMPLATES = {
    "list.html": '{% extends "base.html" %}{% block content %}<h1>{{ title }}</h1>{% endblock %}',
    "sample.html": '{% extends "base.html" %}{% block content %}<h1>{{ title }}</h1>{{ parts.sample }}{% endblock %}',
    "part.html": '{% from "components.html" import button %}<div id="sample"><p title="{{ word }}">{{ word }}</p>'
    '<p>{{ text }}</p>{% if can_operate %}{{ button("/samples/" ~ arguments.sample ~ "/press", "Press") }}{% endif %}'
    "</div>",
}


@dataclass
class Effects:
    """What was pressed: the user, the sample and the field `reason`. `text` is shown on each sample."""

    pressed: list[tuple[str, str, str]] = field(default_factory=list)
    text: str = "text"
    viewed: int = 0

    def catalogue(self) -> Catalogue:
        """Return pages whose button is noted here."""
        pages = (
            Page("/", "samples", "Samples", "list.html", lambda _: {}, label="Samples"),
            Page("/samples/{sample}", "sample", "Sample {sample}", "sample.html", self._view, query=("word",)),
        )
        actions = (Action("/samples/{sample}/press", self._press, back="/samples/{sample}"),)
        loader = ChoiceLoader([DictLoader(_TEMPLATES), PackageLoader("pipeline.web")])
        return Catalogue(pages, actions, loader=loader)

    def _view(self, context: ViewContext) -> Parts:
        self.viewed += 1
        sample = context.arguments["sample"]
        if sample == "fault":
            raise RuntimeError("a secret of the program")
        if sample == "missing":
            raise PageMissing("there is no sample <i>missing</i>")
        if sample == "refused":
            raise ConfigError("the sample is <i>refused</i>", hint="take another")
        return {"sample": context.part("part.html", word=context.arguments.get("word", ""), text=self.text)}

    def _press(self, request: ActionRequest) -> Done:
        sample = request.arguments["sample"]
        if sample == "broken":
            raise ConfigError("it is <b>broken</b>", hint="repair it")
        self.pressed.append((request.user, sample, request.form.get("reason", "")))
        return Done(f"pressed {sample} by {request.user}")
