"""`pipeline promote` and `pipeline abort`, beside the process that deploys."""

from __future__ import annotations

import getpass

import click
import pytest
from click.testing import CliRunner, Result

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.base.lock import work_lock
from pipeline.cli import abort, promote, status
from pipeline.store.deployment_answers import DeploymentWait
from pipeline.store.records import Run
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.started_runs import begin_run

SPEC = '{"services": {"web": {}}}'


@pytest.fixture
def run(store: Store) -> Run:
    """A run that deploys release 2 in place of release 1."""
    begun = begin_run(store, "shop")
    for _ in range(2):
        store.releases.create("shop", begun.number, sha="a" * 40, subject="s", image_id="i", image_tag="t", spec=SPEC)
    store.deployments.begin("shop", begun.number, 1, 2)
    return begun


@pytest.fixture
def wait(store: Store, run: Run) -> DeploymentWait:
    """The pause of its deployment."""
    row = store.deployments.open("shop")
    assert row is not None
    assert row.run == run.number
    return store.deployment_answers.begin(
        row.id, "web", "AfterInstall[0]", "the pause in AfterInstall", FakeClock().now()
    )


def call(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_a_pause_is_promoted(home: Home, store: Store, wait: DeploymentWait) -> None:
    """The output says what happens, and the store has the user."""
    with work_lock(home.lock("shop"), "`pipeline run`"):
        done = call(promote.command)
    assert done.stdout == "web: the pause in AfterInstall ends, and the deployment continues\n"
    assert done.stderr == ""
    assert store.deployment_answers.promoted_by(wait) == getpass.getuser()


def test_a_deployment_is_aborted(home: Home, store: Store, run: Run) -> None:
    """With a reason, in which control characters are escaped."""
    with work_lock(home.lock("shop"), "`pipeline run`"):
        done = call(abort.command, "web", "-m", "slow\x1b[2J")
    assert done.stdout == f"run {run.number} is rolled back to release 1\n"
    row = store.deployments.open("shop")
    assert row is not None
    order = store.deployment_answers.aborted(row.id)
    assert order is not None
    assert (order.by, order.comment) == (getpass.getuser(), "slow\\x1b[2J")


@pytest.mark.usefixtures("home", "wait")
@pytest.mark.parametrize("command", [promote.command, abort.command])
def test_an_answer_without_a_process_says_so(command: click.Command) -> None:
    """It is stored, and the next process finds it."""
    expected = "no process works on the deployment now: `pipeline serve`, or the next `pipeline run`, recovers it\n"
    assert call(command).stderr == expected


@pytest.mark.usefixtures("home", "store")
@pytest.mark.parametrize("command", [promote.command, abort.command])
def test_nothing_is_deployed(command: click.Command) -> None:
    """An error, and nothing is stored."""
    with pytest.raises(ConfigError, match="shop has no deployment in progress"):
        call(command)


def test_the_status_names_the_answers(home: Home, wait: DeploymentWait, run: Run) -> None:
    """A run that waits in Deploy says for what, and how to continue."""
    assert wait.service == "web"
    with work_lock(home.lock("shop"), "`pipeline run`"):
        lines = call(status.command).stdout.splitlines()
    (line,) = [line for line in lines if line.startswith(f"run {run.number} ")]
    assert "waits in Deploy: web: the pause in AfterInstall: pipeline promote, or pipeline abort" in line
    data = call(status.command, "--json").stdout
    assert '"waits_for": "web: the pause in AfterInstall"' in data
