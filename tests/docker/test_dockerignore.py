"""Penstock and Docker read a `.dockerignore` alike. `python -m tests.docker.dockerignore` compares more."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator

import pytest

from tests.docker.dockerignore import OLDEST_CLIENT, Case, client_version, compare, kept_by_docker
from tests.support.dockerignore_examples import EXAMPLES, PATHS

pytestmark = pytest.mark.docker


@pytest.fixture(autouse=True, scope="module")
def _current_client() -> None:
    if client_version() < OLDEST_CLIENT:
        pytest.skip(f"the docker command is older than {OLDEST_CLIENT}, which reads some patterns otherwise")


@pytest.fixture(autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One test at a time. Docker's former builder loses images of a build while another program removes images."""
    with (tmp_path_factory.getbasetemp().parent / "dockerignore.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_examples() -> None:
    """Docker excludes what the examples of the unit tests say."""
    found = {text: kept_by_docker(Case(text, frozenset(PATHS))) for text, _ in EXAMPLES}
    assert found == {text: frozenset(PATHS) - set(paths.split()) for text, paths in EXAMPLES}


def test_generated_files() -> None:
    """Penstock and Docker agree on generated files and trees."""
    assert compare(pairs=240, seed=7) == []
