"""Volumes of a Compose file in the short form of pipeline.yaml."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.compose.places import Map, Place, Seq, kind
from pipeline.compose.report import Report
from pipeline.compose.view import View, as_text, is_scalar

_MODES = frozenset({"ro", "rw", "z", "Z", "nocopy"})
_PROPAGATION = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
_IGNORED_MODES = frozenset({"consistent", "cached", "delegated", ""})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+")
# Folders of a checkout in which applications usually write, besides those with their code.
_DATA = re.compile(
    r"(?:^|[/._-])(?:\w*data|uploads?|media|storage|db|databases?|logs?|backups?|cache|files|models?|var|sqlite|volumes?)"
    r"(?:$|[/._-])",
    re.IGNORECASE,
)
_SOCKET = "docker.sock"


@dataclass
class Mounts:
    """What a service mounts: `volumes` in pipeline.yaml's form, `tmpfs`, and whether it keeps data of its own."""

    volumes: list[str] = field(default_factory=list)
    tmpfs: list[str] = field(default_factory=list)
    is_stateful: bool = False
    sources: set[str] = field(default_factory=set)
    notes: list[tuple[Place, str, str]] = field(default_factory=list)
    """What is left out or assumed, as place, path and reason. It only matters if the service is kept."""
    remarks: list[str] = field(default_factory=list)
    bound: dict[str, Place] = field(default_factory=dict)
    """The folders of the checkout that are mounted by their absolute paths."""

    def add(self, source: str, target: str, modes: list[str], place: Place, path: str) -> None:
        """Add a volume, unless another one has its path in the container."""
        if any(posixpath.normpath(each.split(":")[1]) == posixpath.normpath(target) for each in self.volumes):
            self.notes.append((place, path, f"another volume has the path {target}"))
            return
        kept = _kept_modes(modes, not source.startswith("/"))
        self.volumes.append(":".join((source, target, *([",".join(kept)] if kept else []))))
        self.sources.add(source)
        self.is_stateful = self.is_stateful or ("ro" not in kept and not source.endswith(_SOCKET))

    def report_to(self, report: Report, service: str) -> None:
        """Add the notes to a report."""
        if self.bound:
            what = f"{service} mounts {', '.join(self.bound)} of this machine by the absolute path; keep it there"
            report.note(f"{next(iter(self.bound.values()))}: {what}")
        for note in self.notes:
            report.left_out(*note)
        for remark in self.remarks:
            report.note(remark)


class VolumeReader:
    """Reads the volumes of services. `names` are the volumes of Docker by their names in the Compose file.

    `folder` is the absolute path of the folder of the Compose file.
    """

    def __init__(self, names: Mapping[str, str], folder: str) -> None:
        self._names = names
        self._folder = folder

    def read(self, service: View, *, is_built: bool) -> Mounts:
        """Return what a service mounts. A built one has the files of its commit, so it gets none of the checkout."""
        mounts = Mounts(tmpfs=[text for text in service.texts("tmpfs") if text])
        value = service.data.get("volumes")
        if value is not None and not isinstance(value, Seq):
            service.mistake("volumes", f"must be a list, got {kind(value)}")
            return mounts
        for index, (item, place) in enumerate(value.entries() if isinstance(value, Seq) else ()):
            path = f"{service.where('volumes')}[{index}]"
            if isinstance(item, Map):
                view = View(item, path, service.report, service.variables)
                kinds, source, target, modes = self._long(view)
            elif is_scalar(item):
                kinds = ""
                source, target, modes = _short(service.variables.resolve(as_text(item), place, path))
            else:
                service.report.mistake(place, path, f"must be a volume such as data:/data, got {kind(item)}")
                continue
            self._add(mounts, service, (kinds, source, target, modes), place, path, is_built)
        return mounts

    @staticmethod
    def _long(view: View) -> tuple[str, str, str, list[str]]:
        modes = ["ro"] if view.boolean("read_only") else []
        options = view.view("volume")
        if options and options.boolean("nocopy"):
            modes.append("nocopy")
        if options and "subpath" in options:
            options.left_out("subpath", "the whole volume is mounted")
        bind = view.view("bind")
        if bind:
            modes += [text for key in ("selinux", "propagation") if (text := bind.text(key))]
        if view.text("type") is None:
            view.report.mistake(view.data.place, view.path, "must have a type such as bind or volume")
        return view.text("type") or "", view.text("source") or "", view.text("target") or "", modes

    def _add(
        self,
        mounts: Mounts,
        service: View,
        parts: tuple[str, str, str, list[str]],
        place: Place,
        path: str,
        is_built: bool,
    ) -> None:
        kinds, source, target, modes = parts
        if kinds == "tmpfs":
            mounts.tmpfs.append(target)
        elif kinds in ("npipe", "cluster", "image"):
            mounts.notes.append((place, path, f"volumes of the type {kinds} are not supported"))
        elif not target.startswith("/") or posixpath.normpath(target) in ("/", "//") or ":" in target:
            service.report.mistake(place, path, f"must have an absolute path in the container, got {target!r}")
        elif wrong := sorted(set(modes) - _MODES - _PROPAGATION - _IGNORED_MODES):
            service.report.mistake(place, path, f"has the unknown mode {wrong[0]!r}; write ro or rw")
        elif not source:
            reason = "it has no name, so each container would have its own; name it to keep it"
            mounts.notes.append((place, path, reason))
        elif found := self._source(mounts, service, source, place, path, is_built):
            mounts.add(found, target, modes, place, path)

    def _source(
        self, mounts: Mounts, service: View, source: str, place: Place, path: str, is_built: bool
    ) -> str | None:
        """Return the source of a volume for pipeline.yaml, or None if it is left out."""
        if source.startswith("/"):
            if source.endswith(_SOCKET):
                mounts.remarks.append(
                    f"{place}: {path} gives the container all rights on this machine, by Docker's socket"
                )
            return None if ":" in source else posixpath.normpath(source)
        if source.startswith("~"):
            mounts.notes.append((place, path, "write an absolute path instead of ~"))
            return None
        if not source.startswith("."):
            return self._named(service, source, place, path)
        absolute = posixpath.normpath(posixpath.join(self._folder, source))
        if ":" in absolute:
            mounts.notes.append((place, path, f"{absolute} has a colon in it"))
            return None
        inside = posixpath.normpath(source)
        if is_built and not (_DATA.search(inside) and not inside.startswith("..")):
            reason = "the image has the files of its commit; for what the application writes there, use a named volume"
            mounts.notes.append((place, path, reason))
            return None
        mounts.bound.setdefault(source, place)
        return absolute

    def _named(self, service: View, source: str, place: Place, path: str) -> str | None:
        if source not in self._names:
            service.report.mistake(place, path, f"there is no volume {source}", f"add volumes: {{{source}: }}")
            return None
        name = self._names[source]
        if not _NAME.fullmatch(name):
            service.report.mistake(place, path, f"{name!r} is not a valid name of a volume")
            return None
        return name


def _kept_modes(modes: list[str], is_named: bool) -> list[str]:
    allowed = _MODES - {"rw", "nocopy"} | ({"nocopy"} if is_named else _PROPAGATION)
    return [mode for mode in dict.fromkeys(modes) if mode in allowed]


def _short(text: str) -> tuple[str, str, list[str]]:
    """Return the source, the path in the container and the modes of a short form."""
    parts = text.split(":")
    if len(parts) == 1:
        return "", parts[0], []
    return parts[0], parts[1], [mode for part in parts[2:] for mode in part.split(",")]
