"""Compares Penstock's reading of `.dockerignore` with Docker's, on generated files and trees.

    .venv/bin/python -m tests.docker.dockerignore --pairs 2000 --seed 1

Each build has one `.dockerignore` and eight trees side by side in its context. Docker decides about a path from the
path alone, so the trees do not disturb each other. The docker command applies the file, and the image shows the result.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import StageFailed
from pipeline.engine.docker.ignore import DockerIgnore
from tests.docker.docker_cli import docker
from tests.support.waiting import COMMAND_TIMEOUT

TREES = 8
OLDEST_CLIENT = 23
_OWN = {"Dockerfile", ".dockerignore"}
_FOLDERS = ["a", "b", "ab", "data", "src", "node_modules", "a.b", "é", "-", "#d", "[a]", "docs", "keys", "Build"]
_FILES = [
    *("README.md", "readme.py", "notes.txt", "#notes.txt", "!x", "a.py", "a.pyc", ".env", ".git", "d5.txt", "d^.txt"),
    *("d!.txt", "dx.txt", "f", "x+y", "xxy", "(x)", "{a,b}", "x|y", "$x", "a*b", "a?b", "a\\b", "a-b", "1", "-1"),
    *("ü.txt", "日.md", "public", "id_rsa", "k.pem", "[b]", "]x[", "^x", "~", "x.tar.gz", "a b", " x", "x "),
]
_PIECES = ["**", "**/", "/**", "[^", "[!", "[a-", "a*", ".txt", "\\d", "\\Q", "[:alpha:]"]
_ALPHABET = [*"ab/*?[]^!-\\.#{},+()|$ \t5xdé", *_PIECES]
_BEFORE = [*[""] * 14, "!", "!", "!", "**/", "**/", "/", "./", "../", "#", " ", " #", "! ", "!/", "!**/"]
_BEHIND = [*[""] * 12, "/", "/*", "/**", "**", "*", " ", "\t"]


def client_version() -> int:
    """Return the major version of the docker command."""
    return int(docker("version", "--format", "{{.Client.Version}}").partition(".")[0])


@dataclass(frozen=True)
class Case:
    """A `.dockerignore` and the paths of eight trees."""

    ignore: str
    paths: frozenset[str]


def generate(random_: random.Random) -> Case:
    """Return a case. Most patterns come from a path of the trees, so that they match something."""
    paths: set[str] = set()
    for _ in range(TREES):
        paths |= _tree(random_)
    folders = {"/".join(path.split("/")[:depth]) for path in paths for depth in range(1, path.count("/") + 1)}
    paths -= folders
    known = sorted(paths | folders)
    lines = [_line(random_, known) for _ in range(random_.choice([1, 1, 1, 2, 2, 3, 4, 6]))]
    start = random_.choice([""] * 9 + ["\ufeff"])
    return Case(start + random_.choice(["\n"] * 9 + ["\r\n"]).join(lines), frozenset(paths))


def _tree(random_: random.Random) -> set[str]:
    return {
        "/".join([*random_.choices(_FOLDERS, k=random_.choice([0, 0, 1, 1, 2, 3])), random_.choice(_FILES)])
        for _ in range(random_.randint(2, 6))
    }


def _line(random_: random.Random, known: list[str]) -> str:
    if random_.random() < 0.15:
        pattern = "".join(random_.choices(_ALPHABET, k=random_.randint(1, 6)))
    else:
        parts = random_.choice(known).split("/")
        pattern = "/".join(_mutated(random_, part) for part in parts[random_.choice([0, 0, 0, -1]) :])
    return random_.choice(_BEFORE) + pattern + random_.choice(_BEHIND)


def _mutated(random_: random.Random, part: str) -> str:
    at = random_.randrange(len(part))
    character, before, after = part[at], part[:at], part[at + 1 :]
    others = ["*", "**", "?", f"{before}*", f"*{after}", f"{before}?{after}", f"{before}**{after}", f"**{after}"]
    classes = [
        f"[{character}]",
        f"[^{character}]",
        f"[!{character}]",
        f"[a-{character}]",
        f"[^0-9{character}]",
        f"\\{character}",
    ]
    classes = [f"{before}{one}{after}" for one in classes]
    return random_.choice([*[part] * 12, *others, *classes, part.upper(), f"{part}*"])


def kept_by_penstock(case: Case) -> frozenset[str] | None:
    """Return the paths that Penstock sends, or None if it refuses the file."""
    try:
        ignore = DockerIgnore(case.ignore)
        return frozenset(path for path in case.paths if not ignore.excludes(path))
    except StageFailed:
        return None


def kept_by_docker(case: Case) -> frozenset[str] | None:
    """Return the paths that are in an image of Docker's, or None if it refuses the file."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path in case.paths:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()
        (root / ".dockerignore").write_bytes(case.ignore.encode())
        (root / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
        built = _built(folder)
    if built.returncode != 0:
        if "pattern" not in built.stderr:
            raise RuntimeError(built.stderr)
        return None
    image = built.stdout.strip()
    try:
        return frozenset(_files(image)) - _OWN
    finally:
        docker("image", "rm", image)


def _built(folder: str) -> subprocess.CompletedProcess[str]:
    """Return the end of a build by Docker's own builder.

    It takes the layers of an equal image, which another test may remove meanwhile.
    """
    command = ["docker", "build", "--quiet", "--force-rm", folder]
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    for _ in range(5):
        built = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT
        )
        if "unable to find image" not in built.stderr:
            break
    return built


def _files(image: str) -> list[str]:
    if docker("image", "inspect", "--format", "{{len .RootFS.Layers}}", image).strip() == "0":
        return []
    saved = subprocess.run(["docker", "save", image], capture_output=True, check=True, timeout=COMMAND_TIMEOUT).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as outer:
        manifest = outer.extractfile("manifest.json")
        assert manifest is not None
        (layer,) = json.load(manifest)[0]["Layers"]
        with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
            return [member.name for member in inner if member.isfile()]


def compare(pairs: int, seed: int) -> list[tuple[Case, frozenset[str] | None, frozenset[str] | None]]:
    """Return the cases in which Penstock's answer, the second value, is not Docker's, the third."""
    random_ = random.Random(seed)
    differences = []
    for _ in range(-(-pairs // TREES)):
        case = generate(random_)
        own, real = kept_by_penstock(case), kept_by_docker(case)
        if own != real:
            differences.append((case, own, real))
    return differences


def main() -> int:
    """Compare, and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    differences = compare(options.pairs, options.seed)
    lines = [
        f"{case.ignore!r}\n  penstock: {_shown(own, real)}\n  docker:   {_shown(real, own)}"
        for case, own, real in differences
    ]
    lines.append(f"{options.pairs} pairs, seed {options.seed}, docker {client_version()}: {len(differences)} differ")
    sys.stdout.write("\n".join(lines) + "\n")
    return bool(differences)


def _shown(kept: frozenset[str] | None, other: frozenset[str] | None) -> str:
    return "refused" if kept is None else f"alone keeps {sorted(kept - (other or frozenset()))[:8]}"


if __name__ == "__main__":
    sys.exit(main())
