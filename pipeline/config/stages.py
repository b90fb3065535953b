"""Stages in pipeline.yaml: `uses` names an installed stage, and `with` has the options that it declares."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, create_model

from pipeline.balancer.model import Model
from pipeline.base.errors import ConfigError, Problem
from pipeline.base.suggestion import did_you_mean
from pipeline.config.deploy import Deploy
from pipeline.config.document import Document
from pipeline.config.models import Build, Source
from pipeline.config.validation import problems_of

GROUP = "pipeline.stages"
_MODELS: dict[str, type[Model]] = {"source": Source, "build": Build, "deploy": Deploy}
# The method that makes a class a stage of the section.
_METHODS = {"source": "find", "build": "build", "deploy": "deploy"}
# The keys of each section that the runner reads, whatever the stage.
_KEYS_OF_RUNNER = {
    "source": {"uses", "with", "branch"},
    "build": {"uses", "with"},
    "deploy": {"uses", "with", "target_group", "approval"},
}


class StageOptions(Model):
    """Base class of a stage's options. Each field is a key of `with`. A missing key is reported with its description.

    A text may contain `${secret:NAME}`, which `context.configuration.secrets.resolve` resolves.
    """


def find_stage(section: str, name: str) -> Any:
    """Return the class of an installed stage. Raises `ConfigError` if there is none or it cannot be imported."""
    return _find_stage(entry_points, tuple(map(_folder_state, sys.path)), section, name)


def _folder_state(path: str) -> tuple[str, int]:
    """Return a folder of the search path, and a time that changes if a package is installed or removed there."""
    try:
        return path, Path(path).stat().st_mtime_ns
    except OSError:
        return path, 0


@lru_cache(maxsize=32)
def _find_stage(
    entry_points: Callable[..., EntryPoints], _state: tuple[tuple[str, int], ...], section: str, name: str
) -> Any:
    """Find a stage, once until a package is installed or removed: the search reads all of them. Errors are not kept."""
    for entry in entry_points(group=GROUP, name=f"{section}.{name}"):
        try:
            return entry.load()
        except Exception as error:  # noqa: BLE001  # a third-party package may raise anything on import
            raise ConfigError(f"cannot load stage {section}.{name}: {error!r}") from None
    known = [entry.removeprefix(f"{section}.") for entry in entry_points(group=GROUP).names if _is_of(section, entry)]
    hint = did_you_mean(name, known) or "install penstock again: its entry points are missing"
    raise ConfigError(f"unknown stage {name!r}", hint=hint)


def check_stages(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield unknown stages, invalid options, and keys of a section that its stage does not read."""
    for section in _MODELS:
        written = data.get(section)
        if isinstance(written, dict):
            yield from _check(document, section, written)


def stage_options() -> Iterator[tuple[str, str, type[BaseModel]]]:
    """Yield section, name and options of each installed stage that has options."""
    for entry in sorted(entry_points(group=GROUP).names):
        section, _, name = entry.partition(".")
        options = getattr(find_stage(section, name), "Options", None) if section in _MODELS else None
        if options is not None:
            yield section, name, options


def _is_of(section: str, entry: str) -> bool:
    # A name with an underscore is that of a stage for Penstock's own use.
    return entry.startswith(f"{section}.") and not entry.startswith(f"{section}._")


def _check(document: Document, section: str, written: dict[str, Any]) -> Iterator[Problem]:
    default = _MODELS[section].model_fields["uses"].default
    name, values = written.get("uses", default), written.get("with", {})
    # The shipped stages are not imported to read a file: they need Docker's SDK.
    if not isinstance(name, str) or not isinstance(values, dict) or (name == default and not values):
        return
    try:
        stage = find_stage(section, name)
    except ConfigError as error:
        yield document.problem((section, "uses"), error.message, error.hint or "")
        return
    options = getattr(stage, "Options", None)
    if reason := _unusable(stage, options, _METHODS[section]):
        yield document.problem((section, "uses"), f"{section}.{name} {reason}")
        return
    if name != default:
        yield from _unread_keys(document, section, name, written.keys() - getattr(stage, "section_keys", frozenset()))
    yield from _option_problems(document, section, name, values, options or StageOptions)


def _unusable(stage: Any, options: Any, method: str) -> str:
    """Return why an object is not a stage, or an empty text."""
    if not isinstance(stage, type) or not callable(getattr(stage, method, None)):
        return f"must be a class with the method {method}"
    if options is not None and not (isinstance(options, type) and issubclass(options, StageOptions)):
        return "has Options that are not a subclass of pipeline.api.StageOptions"
    return ""


def _unread_keys(document: Document, section: str, name: str, keys: set[str]) -> Iterator[Problem]:
    """Yield the keys that would have no effect. A user who sets `build.test` relies on the tests."""
    for key in keys & _MODELS[section].model_fields.keys() - _KEYS_OF_RUNNER[section]:
        text = f"is not used by the stage {section}.{name}"
        yield document.problem((section, key), text, f"remove it, or set {section}.uses to another stage", at_key=True)


def _option_problems(
    document: Document, section: str, name: str, values: dict[str, Any], options: type[BaseModel]
) -> Iterator[Problem]:
    required = [field.alias or key for key, field in options.model_fields.items() if field.is_required()]
    if required and not values:
        yield document.problem((section, "with"), "is missing", f"{section}.{name} requires {', '.join(required)}")
        return
    if values and not options.model_fields:
        yield document.problem((section, "with"), f"the stage {section}.{name} has no options", at_key=True)
        return
    # The options are validated where they are in the file, so that errors have their position.
    inner = create_model("Section", **{"with": (options, Field())})  # type: ignore[call-overload]
    outer = create_model("File", **{section: (inner, Field())})  # type: ignore[call-overload]
    try:
        outer.model_validate({section: {"with": values}})
    except ValidationError as error:
        yield from problems_of(error, document, outer)
