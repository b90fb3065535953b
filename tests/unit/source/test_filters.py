"""`source.paths`: which changes count."""

from __future__ import annotations

import pytest

from stages.source.filters import matches_any


@pytest.mark.parametrize(
    ("changed", "glob"),
    [
        ("src/app.py", "src/**"),
        ("src/deep/down/app.py", "src/**"),
        ("src/app.py", "src"),
        ("src/app.py", "src/"),
        ("src/app.py", "./src/*.py"),
        ("src/app.py", "**/*.py"),
        ("app.py", "**/*.py"),
        ("a/b/Dockerfile", "**/Dockerfile"),
        ("Dockerfile", "Dockerfile"),
        ("a+b/[c].txt", "a+b/[c].txt"),
        ("v1.txt", "v?.txt"),
        ("new\nline.txt", "*.txt"),
    ],
)
def test_what_a_glob_means(changed: str, glob: str) -> None:
    """A folder means everything in it."""
    assert matches_any([changed], [glob])


@pytest.mark.parametrize(
    ("changed", "glob"),
    [
        ("src/deep/app.py", "src/*.py"),
        ("source/app.py", "src"),
        ("docs/src/app.py", "src/**"),
        ("Dockerfile.dev", "Dockerfile"),
        ("appxpy", "app.py"),
    ],
)
def test_what_a_glob_does_not_mean(changed: str, glob: str) -> None:
    """One star stays within its folder, and a dot is a dot."""
    assert not matches_any([changed], [glob])
