"""Several Compose files as one, with `include` and `extends`."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.base.errors import ConfigError
from pipeline.compose.merging import cleaned, merge
from pipeline.compose.places import Map, Place, Reset, Seq, kind
from pipeline.compose.reading import read_compose
from pipeline.compose.report import Report

Read = Callable[[str], str]
"""Returns the text of a file. Raises `ConfigError` if it cannot be read."""

_SECTIONS = ("services", "volumes", "networks", "secrets", "configs")
_MAX_FILES = 50


class ComposeFiles:
    """Reads Compose files, each once."""

    def __init__(self, read: Read, report: Report) -> None:
        self._read = read
        self._report = report
        self._known: dict[str, Map] = {}
        self._including: list[str] = []

    def load(self, files: Sequence[str]) -> Map:
        """Return the content of all files with what they include, and with every service extended."""
        parts = [self._included(file) for file in files]
        whole = parts[0]
        for part in parts[1:]:
            whole = merge(whole, part)
        found: Map = cleaned(whole)
        return found

    def _file(self, file: str) -> Map:
        if file not in self._known:
            if len(self._known) >= _MAX_FILES:
                raise ConfigError(f"{file} is not read: an import reads at most {_MAX_FILES} files")
            self._known[file] = read_compose(self._read(file), file, self._report)
        return self._known[file]

    def _included(self, file: str) -> Map:
        """Return a file after those that it includes."""
        if file in self._including:
            raise ConfigError(f"{file} includes itself: {' includes '.join((*self._including, file))}")
        self._including.append(file)
        own = self._extended_file(file)
        whole = Map(own.place)
        for other in self._includes(own, file):
            whole = merge(whole, self._only_sections(self._included(other)))
        self._including.pop()
        return merge(whole, own)

    @staticmethod
    def _only_sections(content: Map) -> Map:
        result = Map(content.place)
        for key, value, place in content.entries():
            if key in _SECTIONS:
                result.put(key, value, place)
        return result

    def _includes(self, content: Map, file: str) -> list[str]:
        value, place = content.get("include"), content.places.get("include", content.place)
        items = value if isinstance(value, Seq) else () if value is None else (value,)
        found: list[str] = []
        for item in items:
            path = item.get("path") if isinstance(item, Map) else item
            paths = path if isinstance(path, Seq) else (path,)
            if not all(isinstance(each, str) and each for each in paths):
                self._report.mistake(place, "include", f"must be paths of files, got {kind(item)}")
                continue
            found += [each for each in map(str, paths) if self._is_local(each, place, "include")]
        return [beside(file, each) for each in found]

    def _is_local(self, path: str, place: Place, key: str) -> bool:
        if "://" in path or path.startswith("git@") or "$" in path:
            self._report.left_out(place, f"{key} {path}", "only local files are read; give it as a further FILE")
            return False
        return True

    def _extended_file(self, file: str) -> Map:
        """Return a file in which no service extends another one any more."""
        content = self._file(file).copy()
        services = content.get("services")
        if not isinstance(services, Map):
            return content
        result = Map(services.place)
        for name, service, place in services.entries():
            value = self._extended(name, service, file, ()) if isinstance(service, Map) else service
            result.put(name, value, place)
        content.put("services", result, content.places["services"])
        return content

    def _extended(self, name: str, service: Map, file: str, seen: tuple[tuple[str, str], ...]) -> Map:
        path = f"services.{name}.extends"
        given, place = service.get("extends"), service.places.get("extends", service.place)
        if given is None or isinstance(given, Reset):
            return service
        if (file, name) in seen:
            cycle = " extends ".join(each for _, each in (*seen, (file, name)))
            self._report.mistake(place, path, f"has a cycle: {cycle}")
            return service
        base_file, base_name = self._base(given, file)
        if base_name is None or (base_file != file and not self._is_local(base_file, place, path)):
            if base_name is None:
                self._report.mistake(place, path, f"must be a service, or a mapping with service, got {kind(given)}")
            return service
        services = self._file(base_file).get("services")
        base = services.get(base_name) if isinstance(services, Map) else None
        if not isinstance(base, Map):
            self._report.mistake(place, path, f"there is no service {base_name} in {base_file}")
            return service
        found = self._extended(base_name, base, base_file, (*seen, (file, name)))
        own = service.copy()
        del own["extends"]
        return merge(_moved(found, base_file, file), own)

    @staticmethod
    def _base(given: Any, file: str) -> tuple[str, str | None]:
        """Return the file and the name of a base service."""
        if isinstance(given, str):
            return file, given
        name = given.get("service") if isinstance(given, Map) else None
        other = given.get("file") if isinstance(given, Map) else None
        path = file if other is None else beside(file, str(other))
        return path, name if isinstance(name, str) else None


def beside(file: str, path: str) -> str:
    """Return a path relative to the folder of a file."""
    return path if "://" in path else posixpath.normpath(posixpath.join(posixpath.dirname(file), path))


def _moved(service: Map, base_file: str, file: str) -> Map:
    """Return a service of another file with its paths relative to the folder of `file`."""
    folder = posixpath.relpath(posixpath.dirname(base_file) or ".", posixpath.dirname(file) or ".")
    if folder == ".":
        return service
    result = service.copy()
    for key, move in _PATHS.items():
        if result.get(key) is not None:
            result[key] = move(result[key], folder)
    return result


def _moved_build(value: Any, folder: str) -> Any:
    if isinstance(value, str):
        return _joined(value, folder)
    if not isinstance(value, Map):
        return value
    moved = value.copy()
    context = value.get("context", ".")
    if isinstance(context, str):
        moved.put("context", _joined(context, folder), value.places.get("context", value.place))
    return moved


def _moved_files(value: Any, folder: str) -> Any:
    if isinstance(value, str):
        return _joined(value, folder)
    return _each(value, folder, "path") if isinstance(value, Seq) else value


def _moved_volumes(value: Any, folder: str) -> Any:
    return _each(value, folder, "source") if isinstance(value, Seq) else value


def _each(items: Seq, folder: str, key: str) -> Seq:
    """Return a list of paths, or of mappings with a path. A volume is a relative path only if it begins with a dot."""
    result = Seq(items.place)
    for item, place in items.entries():
        if isinstance(item, Map) and isinstance(item.get(key), str):
            moved = item.copy()
            moved[key] = _joined(item[key], folder, only_dots=key == "source")
            result.add(moved, place)
        elif isinstance(item, str):
            source, colon, rest = item.partition(":") if key == "source" else (item, "", "")
            result.add(_joined(source, folder, only_dots=key == "source") + colon + rest, place)
        else:
            result.add(item, place)
    return result


def _joined(path: str, folder: str, *, only_dots: bool = False) -> str:
    if "://" in path or path.startswith(("/", "~", "$", "git@")) or (only_dots and not path.startswith(".")):
        return path
    joined = posixpath.normpath(posixpath.join(folder, path))
    return joined if joined.startswith(".") or not only_dots else f"./{joined}"


_PATHS = {"build": _moved_build, "env_file": _moved_files, "volumes": _moved_volumes}
