"""What models read and dump: golden and recorded values as they are, and a sample of them with one part replaced.

Run as a program it prints JSON: place of a value → what was read. With the argument `whole`, each model is built with
those inside it, as pydantic does by default. With the name of a model, that one is built first.
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from tests.support.paths import ROOT

_HERE = Path(__file__).parent
# Of the changed values.
_SHARE = 150
_REPLACEMENTS: tuple[Any, ...] = (None, True, 0, 1.5, "x", "7", "10s", [], ["x"], {}, {"x": 1}, [{"x": 1}])
_ADDRESS = re.compile("0x[0-9a-f]+")


def readings() -> dict[str, list[str]]:
    """Return what is read from each value."""
    return {
        place: _read(model, data)
        for name, model, whole in _values()
        for place, data in [(name, whole), *_sample(name, whole)]
    }


def _values() -> Iterator[tuple[str, type[BaseModel], Any]]:
    # Imported here, because `whole` must be known before.
    from pipeline.balancer.model import Declaration
    from pipeline.config.models import Pipeline
    from pipeline.config.release import ReleaseSpec

    yaml = YAML(typ="safe")
    for path in [*sorted(ROOT.glob("examples/*/pipeline.yaml")), *sorted(_HERE.glob("home/*/pipeline.yaml"))]:
        yield str(path.relative_to(ROOT)), Pipeline, yaml.load(path.read_text())
    for path in sorted(_HERE.glob("declarations/*.yaml")):
        for name, case in yaml.load(path.read_text()).items():
            keys = {key: case[key] for key in ("target_groups", "load_balancers") if key in case}
            yield f"{path.stem} {name}", Declaration, keys
    for path in sorted(_HERE.glob("files/releases/*.json")):
        yield f"release {path.stem}", ReleaseSpec, json.loads(path.read_text())["spec"]
    for name, stored in json.loads((_HERE / "releases-version-1.json").read_text()).items():
        yield f"release of version 1 {name}", ReleaseSpec, stored["spec"]


def _sample(name: str, data: Any) -> Iterator[tuple[str, Any]]:
    for place, changed in _changed(data):
        if zlib.crc32(f"{name} {place}".encode()) % _SHARE == 0:
            yield f"{name} {place}", changed


def _changed(data: Any) -> Iterator[tuple[str, Any]]:
    """Yield each form in which one part of `data` is missing or something else."""
    if not isinstance(data, dict | list):
        return
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        if isinstance(data, dict):
            yield f"{key}: missing", {name: one for name, one in data.items() if name != key}
        for other in _REPLACEMENTS:
            yield f"{key}: {other!r}", _with(data, key, other)
        for place, inner in _changed(value):
            yield f"{key}.{place}", _with(data, key, inner)


def _with(data: Any, key: Any, value: Any) -> Any:
    found = data.copy()
    found[key] = value
    return found


def _read(model: type[BaseModel], data: Any) -> list[str]:
    text = json.dumps(data)
    return [*_shown(lambda: model.model_validate(data)), *_shown(lambda: model.model_validate_json(text))]


def _shown(read: Callable[[], BaseModel]) -> list[str]:
    try:
        value = read()
    except ValidationError as error:
        return [_ADDRESS.sub("0x", repr(error.errors(include_url=False)))]
    dumps = [value.model_dump_json(), repr(value.model_dump()), repr(value.model_dump(mode="json", exclude_unset=True))]
    return [repr(value), *dumps, repr(value.model_dump(exclude_defaults=True, by_alias=False))]


def _build(name: str) -> None:
    import pipeline.config.release

    getattr(pipeline.config.release, name).model_rebuild()


if __name__ == "__main__":
    is_whole = sys.argv[1:] == ["whole"]
    with patch("pipeline.base.schema.is_built", lambda _: True) if is_whole else nullcontext():
        for name in () if is_whole else sys.argv[1:]:
            _build(name)
        sys.stdout.write(json.dumps(readings()))
