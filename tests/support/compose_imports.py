"""Imports of Compose files in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.base.errors import ConfigError
from pipeline.compose.translation import Imported, Where, translate
from pipeline.compose.writer import pipeline_text
from pipeline.config.load import Configuration, load

FILE = "compose.yaml"


def reader(files: Mapping[str, str]) -> Any:
    """Return a function that reads the files of a mapping."""

    def read(path: str) -> str:
        if path not in files:
            raise ConfigError(f"{path} does not exist")
        return files[path]

    return read


def imported(text: str, others: Mapping[str, str] | None = None, **options: Any) -> Imported:
    """Return what a Compose file becomes. `others` are further files by their paths."""
    where = options.pop("where", Where(folder="/srv/shop", name="shop", dotenv=options.pop("dotenv", None)))
    files = {FILE: text, **(others or {})}
    return translate(options.pop("files", [FILE]), reader(files), where=where, **options)


def content(text: str, others: Mapping[str, str] | None = None, **options: Any) -> dict[str, Any]:
    """Return the content of the first pipeline.yaml."""
    return imported(text, others, **options).files[0].content


def notes(text: str, others: Mapping[str, str] | None = None, **options: Any) -> tuple[str, ...]:
    """Return the notes."""
    return imported(text, others, **options).notes


def loaded(data: Mapping[str, Any], folder: Path) -> Configuration:
    """Return a content as `pipeline validate` reads it, in an empty environment."""
    path = folder / "pipeline.yaml"
    path.write_text(pipeline_text(data, "A test."))
    return load(path, {}, {}, secrets_needed=False)
