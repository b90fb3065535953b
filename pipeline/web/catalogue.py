"""All pages and actions, found by the modules of `pages`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules

from jinja2 import BaseLoader, PackageLoader

from pipeline.web import pages
from pipeline.web.action import Action
from pipeline.web.download import Download
from pipeline.web.page import Page


@dataclass(frozen=True)
class Catalogue:
    """The pages, the actions and the downloads of the web interface."""

    pages: Sequence[Page]
    actions: Sequence[Action]
    downloads: Sequence[Download] = ()
    loader: BaseLoader = field(default_factory=lambda: PackageLoader("pipeline.web"))
    """Finds the templates of the pages."""

    @classmethod
    def load(cls) -> Catalogue:
        """Import all modules of pages."""
        modules = [import_module(f"{pages.__name__}.{found.name}") for found in iter_modules(pages.__path__)]
        return cls(
            [page for module in modules for page in getattr(module, "PAGES", ())],
            [action for module in modules for action in getattr(module, "ACTIONS", ())],
            [download for module in modules for download in getattr(module, "DOWNLOADS", ())],
        )

    @property
    def navigation(self) -> Sequence[Page]:
        """The pages with a label, by their ranks."""
        return sorted((page for page in self.pages if page.label), key=lambda page: (page.rank, page.label))

    def page(self, name: str) -> Page | None:
        """Return the page with a name."""
        return next((page for page in self.pages if page.name == name), None)
