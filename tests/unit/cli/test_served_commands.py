"""Commands beside the daemon that manages their file: it reads and checks the file for them."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.base.sockets import private_socket
from pipeline.cli import status
from pipeline.cli.session import session
from pipeline.daemon.control import Control
from pipeline.daemon.scheduler import Scheduler
from pipeline.daemon.served_file import ServedFile
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.http.api import ControlApi
from pipeline.http.client import Client, Daemon
from pipeline.http.serving import control_config, http_server
from pipeline.store.queue import RunRequest
from pipeline.store.records import RunState, Trigger
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.pipeline_yaml import MINIMAL
from tests.support.reports import reports_of
from tests.support.started_runs import begin_run

FILE = Path("pipeline.yaml")


@pytest.fixture
def supervisor(home: Home, store: Store) -> PipelineSupervisor:
    clock = FakeClock()
    return PipelineSupervisor(ServedFile(FILE, home, store, ()), clock, Scheduler(clock))


def serving(home: Home, store: Store, supervisor: PipelineSupervisor) -> AbstractContextManager[object]:
    """Serve the control API of a daemon without threads of its own."""
    app = ControlApi(reports_of(home, Control({"shop": supervisor}, store))).app()
    return http_server(lambda: control_config(app), private_socket(home.daemon_socket))


def found(home: Home, file: Path) -> Client | None:
    """Return the client that the daemon gives for a file without parsing it."""
    daemon = Daemon.find(home)
    assert daemon is not None
    return daemon.client_of(file)


def show(*arguments: str) -> Result:
    return CliRunner().invoke(status.command, arguments, catch_exceptions=False)


@pytest.mark.parametrize("arguments", [(), ("--json",), ("--file", "pipeline.yaml")], ids=" ".join)
@pytest.mark.parametrize("more", ["", "nonsense: 1\n", "deploy: [\n"], ids=["valid", "invalid", "no YAML"])
def test_the_status_is_the_same(
    arguments: tuple[str, ...], home: Home, store: Store, supervisor: PipelineSupervisor, *, more: str
) -> None:
    """The daemon's report has the bytes that the command itself prints, times included, also with an invalid file."""
    begin_run(store, "shop")
    store.runs.finish("shop", 1, RunState.FAILED, "tests failed")
    store.queue.put("shop", [RunRequest(Trigger.COMMAND)])
    store.transitions.disable("shop", "deploy", "a freeze")
    FILE.write_text(MINIMAL + more)
    with serving(home, store, supervisor):
        by_daemon = show(*arguments)
        assert found(home, FILE) is not None
    alone = show(*arguments)
    assert "tests failed" in alone.output
    assert (by_daemon.output, by_daemon.stderr) == (alone.output, alone.stderr)
    assert (by_daemon.exit_code, alone.exit_code) == (0, 0)
    assert ("is invalid" in alone.stderr) == bool(more)


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL.replace("name: shop", "name: blog"),
        MINIMAL.replace("name: shop", "name: ${n}\nparameters: {n: {default: shop}}"),
        f'{MINIMAL}"name": blog\n',
        f"{MINIMAL}name: shop\n",
        MINIMAL.replace("name: shop", "name:\n  shop"),
        "",
    ],
)
def test_a_file_that_may_have_another_name_is_parsed(
    text: str, home: Home, store: Store, supervisor: PipelineSupervisor
) -> None:
    """The daemon is not asked for a pipeline that the file may not declare any more."""
    FILE.write_text(text)
    with serving(home, store, supervisor):
        assert found(home, FILE) is None


def test_another_file_is_not_the_daemons(home: Home, store: Store, supervisor: PipelineSupervisor) -> None:
    """A copy of the file declares the same name, which a command that acts refuses."""
    copy = Path("copy.yaml")
    copy.write_text(MINIMAL)
    with serving(home, store, supervisor):
        assert found(home, copy) is None
        with pytest.raises(ConfigError, match="the daemon manages shop from"), session(copy, acting=True):
            pass


def test_a_run_of_an_invalid_file_is_refused(home: Home, store: Store, supervisor: PipelineSupervisor) -> None:
    """Without `strict`, the daemon uses the file as it was before."""
    runs = "/v1/pipelines/shop/runs"
    with serving(home, store, supervisor):
        client = Client(home.daemon_socket)
        FILE.write_text(f"{MINIMAL}nonsense: 1\n")
        with pytest.raises(ConfigError, match="nonsense"):
            client.ask("POST", runs, {"strict": True})
        assert client.ask("POST", runs, {})["number"] == 1
        FILE.write_text(MINIMAL)
        assert client.ask("POST", runs, {"strict": True})["number"] == 2


def test_a_file_becomes_valid_by_one_that_it_names(home: Home, store: Store, supervisor: PipelineSupervisor) -> None:
    """A secret is added to the file of secrets, and pipeline.yaml stays as it is."""
    runs, secrets = "/v1/pipelines/shop/runs", Path(".env")
    secrets.write_text("A=1\n")
    secrets.chmod(0o600)
    FILE.write_text(
        f"{MINIMAL}secrets: {{file: .env}}\n".replace(
            "{target_group: web}", "{target_group: web, environment: {B: '${secret:B}'}}"
        )
    )
    with serving(home, store, supervisor):
        client = Client(home.daemon_socket)
        for _ in range(2):
            with pytest.raises(ConfigError, match="secret B"):
                client.ask("POST", runs, {"strict": True})
        assert "is invalid" in show().stderr
        secrets.write_text("A=1\nB=2\n")
        assert show().stderr == ""
        assert client.ask("POST", runs, {"strict": True})["number"] == 1
    rejected = [event for event in store.events.latest("shop") if event.kind == "config.rejected"]
    assert len(rejected) == 1


def test_a_run_with_unknown_parameters_is_refused(home: Home, store: Store, supervisor: PipelineSupervisor) -> None:
    """The daemon checks them before it queues the run."""
    with serving(home, store, supervisor):
        client = Client(home.daemon_socket)
        with pytest.raises(ConfigError, match="nosuch"):
            client.ask("POST", "/v1/pipelines/shop/runs", {"strict": True, "parameters": {"nosuch": "1"}})
    assert store.queue.unfinished("shop") == []


def test_a_daemon_that_does_not_respond_is_not_needed(home: Home, store: Store) -> None:
    """The command reads the status by itself."""
    with closing(private_socket(home.daemon_socket)):
        shown = show()
    assert (shown.exit_code, shown.stdout.splitlines()[0]) == (0, "shop: no active release")
