"""The docker commands of this machine, and the first of them that can build with BuildKit."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

# Where installers put the command, for users whose PATH does not name the folder.
USUAL_FOLDERS = (
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/snap/bin",
    "/opt/homebrew/bin",
    "~/.docker/bin",
    "~/.local/bin",
    "/Applications/Docker.app/Contents/Resources/bin",
)
# From this version on, the command itself contains no client of BuildKit.
_BUILDX_ONLY = 23
# BuildKit is stable since this version.
_BUILDKIT_SINCE = 19
_TIMEOUT = 20
_MAX_PROGRAMS = 8
_QUESTIONS = (("buildx", "version"), ("--version",))
_VERSION = re.compile(r"\bv?(\d+)\.(\d+)\S*")


@dataclass(frozen=True)
class BuildKitCommand:
    """A docker command that builds with BuildKit, alone or with the plug-in buildx."""

    path: str
    buildx: bool
    description: str


def find_buildkit(environment: Mapping[str, str]) -> tuple[BuildKitCommand | None, str]:
    """Return the first docker command that can use BuildKit, and why others before it cannot.

    The result is kept for this process, so only the first call starts processes.
    """
    variables = ("PATH", "HOME", "DOCKER_CONFIG", "DOCKER_CLI_PLUGIN_EXTRA_DIRS")
    return _find(tuple((name, environment[name]) for name in variables if name in environment))


def forget_commands() -> None:
    """Clear the result, so that the next call searches again: a command was removed or replaced."""
    _find.cache_clear()


@lru_cache(maxsize=8)
def _find(variables: tuple[tuple[str, str], ...]) -> tuple[BuildKitCommand | None, str]:
    environment = dict(variables)
    paths = list(_candidates(environment))
    refusals: list[str] = []
    with ThreadPoolExecutor(max_workers=_MAX_PROGRAMS) as pool:
        # All at once: each takes some 30 ms.
        asked = [
            (path, [pool.submit(_version, path, *words, environment=environment) for words in _QUESTIONS])
            for path in paths
        ]
        for path, (buildx, version) in asked:
            found = _judge(path, buildx.result(), version.result())
            if isinstance(found, BuildKitCommand):
                return found, "; ".join(refusals)
            refusals.append(found)
    return None, "; ".join(refusals) or "there is no docker command"


def _candidates(environment: Mapping[str, str]) -> Iterator[str]:
    home = environment.get("HOME") or str(Path.home())
    folders = [*environment.get("PATH", os.defpath).split(os.pathsep), *USUAL_FOLDERS]
    seen = set()
    for folder in folders:
        path = str(Path(re.sub("^~", lambda _: home, folder), "docker"))
        real = os.path.realpath(path)
        if folder and real not in seen and Path(real).is_file() and os.access(real, os.X_OK):
            seen.add(real)
            yield path


def _judge(path: str, buildx: str | None, version: str | None) -> BuildKitCommand | str:
    """Return the command if it can use BuildKit, and otherwise the reason why it cannot."""
    if buildx is not None:
        return BuildKitCommand(path, True, f"docker buildx build ({path}, buildx {buildx})")
    if version is None:
        return f"{path} does not work"
    if not _BUILDKIT_SINCE <= int(version.partition(".")[0]) < _BUILDX_ONLY:
        return f"{path} {version} has no buildx plug-in"
    return BuildKitCommand(path, False, f"docker build with BuildKit ({path} {version})")


def _version(*command: str, environment: Mapping[str, str]) -> str | None:
    """Return the version that a command prints, or None if it fails."""
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(done.stdout)
    return found[0].rstrip(",").removeprefix("v") if found and done.returncode == 0 else None
