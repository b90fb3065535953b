"""Tests share code through `tests/support` and through helper modules of their own folder."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import PurePath

import pytest

from tests.support.paths import ROOT

# Unit tests need no engine and no proxy.
UNIT, HEAVY = "tests/unit", ("tests.docker", "tests.system")
PATCHES = {"setattr", "delattr"}
# A program that never ends must not take its test with it: the error of a deadline names it.
WITH_DEADLINES = ("tests/docker", "tests/system", "tests/support", "tests/contract", "pipeline/testing")


def problems(path: PurePath, source: str) -> list[str]:
    """Return what the layout forbids in a file: imports, patches, and programs without a deadline."""
    nodes = [*ast.walk(ast.parse(source))]
    found = [f"{path}: {problem}" for module in _imports(nodes) if (problem := _forbidden(path, module))]
    found += [f"{path}: patches the private {name}" for name in _patches(nodes) if _is_private(name)]
    if path.is_relative_to("pipeline"):
        found = []
    if any(path.is_relative_to(folder) for folder in WITH_DEADLINES):
        found += [f"{path}: line {line} has no timeout" for line in _without_deadline(nodes)]
    return sorted(set(found))


def _without_deadline(nodes: Iterable[ast.AST]) -> Iterator[int]:
    """Yield the lines with a `subprocess.run` or a `communicate` that may last for ever."""
    calls = [(node, ast.unparse(node.func)) for node in nodes if isinstance(node, ast.Call)]
    runs = [call for call, name in calls if name == "subprocess.run" or name.endswith(".communicate")]
    # None is the name of `**options`.
    yield from (run.lineno for run in runs if not {"timeout", None} & {keyword.arg for keyword in run.keywords})


def _imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield every imported name in full."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _patches(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the names that `monkeypatch.setattr` and `delattr` replace, which are its first or second argument."""
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PATCHES:
            texts = [word.value for word in node.args[:2] if isinstance(word, ast.Constant)]
            yield from (text for text in texts[:1] if isinstance(text, str))


def _forbidden(path: PurePath, name: str) -> str:
    """Return why a file may not import this name, or an empty text."""
    package = ".".join(path.parent.parts)
    if _is_private(name):
        return f"imports the private {name}"
    if not name.startswith("tests."):
        return ""
    if any(part == "conftest" or part.startswith("test_") for part in name.split(".")[:-1]):
        return f"imports {name} from a test module or a conftest"
    if path.is_relative_to(UNIT) and name.startswith(HEAVY):
        return f"is a unit test and imports {name}"
    if path.parts[0] == "tests" and not name.startswith(("tests.support.", f"{package}.")):
        return f"imports {name} of another folder"
    return ""


def _is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def test_layout() -> None:
    """No file has a forbidden import, patches a private name, or waits for a program without a deadline."""
    files = [file for folder in ("tests", "bench", "pipeline/testing") for file in ROOT.glob(f"{folder}/**/*.py")]
    assert len(files) > 100
    found = [problem for file in files for problem in problems(file.relative_to(ROOT), file.read_text())]
    assert found == []


@pytest.mark.parametrize(
    ("path", "source", "reason"),
    [
        ("tests/unit/cli/test_a.py", "from tests.unit.cli.test_b import x", "from a test module or a conftest"),
        ("tests/unit/cli/test_a.py", "import tests.unit.cli.test_b.x", "from a test module or a conftest"),
        ("tests/system/alb.py", "from tests.system.conftest import x", "from a test module or a conftest"),
        ("bench/loss.py", "from tests.docker.test_chaos import x", "from a test module or a conftest"),
        ("tests/unit/cli/test_a.py", "from tests.docker.project import x", "is a unit test"),
        ("tests/unit/cli/conftest.py", "def f():\n  from tests.system.alb import x", "is a unit test"),
        ("tests/unit/cli/test_a.py", "from tests.unit.store.rows import x", "of another folder"),
        ("tests/support/a.py", "from tests.system.alb import x", "of another folder"),
        ("tests/system/test_a.py", "from pipeline.cli.main import _x", "imports the private pipeline.cli.main._x"),
        ("tests/system/test_a.py", "import pipeline._x.y", "imports the private pipeline._x.y"),
        ("tests/system/test_a.py", "monkeypatch.setattr(lock, '_x', 1)", "patches the private _x"),
        ("tests/system/test_a.py", "\nsubprocess.run(['a'], check=True)", "line 2 has no timeout"),
        ("tests/support/a.py", "process.communicate()", "line 1 has no timeout"),
        ("pipeline/testing/machines/a.py", "subprocess.run(['a'])", "line 1 has no timeout"),
        ("tests/system/test_a.py", "monkeypatch.setattr('pipeline.a._x', 1)", "patches the private pipeline.a._x"),
    ],
)
def test_forbidden(path: str, source: str, reason: str) -> None:
    """Each kind of forbidden import or patch is found, also inside a function."""
    (problem,) = problems(PurePath(path), source)
    assert problem.startswith(f"{path}: ")
    assert reason in problem


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("tests/unit/cli/test_a.py", "from __future__ import annotations\nimport pipeline.cli"),
        ("tests/unit/cli/test_a.py", "from tests.support.paths import ROOT"),
        ("tests/unit/cli/test_a.py", "from tests.unit.cli.helper import x"),
        ("tests/docker/chaos.py", "from tests.docker.project import Project"),
        ("bench/loss.py", "from tests.docker.project import Project"),
        ("tests/system/test_a.py", "subprocess.run(['a'], timeout=1)\nsubprocess.run(['a'], **options)"),
        ("tests/unit/cli/test_a.py", "subprocess.run(['a'])"),
        ("tests/system/test_a.py", "monkeypatch.setattr('pipeline.a.X', 1)\nmonkeypatch.setattr(a, 'X', '_x')"),
    ],
)
def test_allowed(path: str, source: str) -> None:
    """Allowed imports are not reported."""
    assert problems(PurePath(path), source) == []
