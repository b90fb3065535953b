"""`pipeline stack` with the types that need nothing else, in this process and beside a daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from pipeline.base.errors import ConfigError, ExitCode, PenstockError
from pipeline.base.home import Home
from pipeline.base.lock import work_lock
from pipeline.base.sockets import private_socket
from pipeline.cli.program import cli
from pipeline.cli.stack_session import stack_session
from pipeline.cli.stack_view import draw
from pipeline.cli.user import current_user
from pipeline.daemon.control import Control
from pipeline.daemon.stack_supervisor import StackSupervisor
from pipeline.http.api import ControlApi
from pipeline.http.client import Client
from pipeline.http.serving import control_config, http_server
from pipeline.stacks.offered import open_stacks
from pipeline.stacks.records import Goal
from pipeline.stacks.start import new_stack
from pipeline.store.store import Store
from tests.support.reports import reports_of

HANDLE = "AWS::CloudFormation::WaitConditionHandle"
WEB = f"""
Parameters: {{Size: {{Type: Number, Default: 1}}, Key: {{Type: String, NoEcho: true, Default: secret}}}}
Resources:
  Handle: {{Type: {HANDLE}}}
  Inner: {{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: inner.yaml, Parameters: {{Size: !Ref Size}}}}}}
Outputs: {{Size: {{Value: !GetAtt Inner.Outputs.Size, Export: {{Name: size}}}}}}
"""
INNER = f"""
Parameters: {{Size: {{Type: Number}}}}
Resources: {{Handle: {{Type: {HANDLE}}}}}
Outputs: {{Size: {{Value: !Ref Size}}}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with templates, and a home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    (tmp_path / "web.yaml").write_text(WEB)
    (tmp_path / "inner.yaml").write_text(INNER)
    (tmp_path / "bad.yaml").write_text(WEB.replace("inner.yaml", "missing.yaml"))
    return tmp_path


@pytest.fixture(params=["alone", "beside a daemon"])
def home(request: pytest.FixtureRequest, folder: Path) -> Iterator[Home]:
    """A home in which commands act themselves, or a daemon does."""
    home = Home.locate()
    if request.param == "alone":
        yield home
        return
    with Store(home.database) as store, work_lock(home.daemon_lock, "pipeline serve"):
        supervisor = StackSupervisor(home, store.stacks.has_unfinished)
        api = ControlApi(reports_of(home, Control({}, store), stacks=supervisor.stacks))
        with http_server(lambda: control_config(api.app()), private_socket(home.daemon_socket)):
            yield home
        supervisor.close()


def run(*arguments: str) -> Result:
    """Run `pipeline stack ARGUMENTS`."""
    return CliRunner().invoke(cli, ["stack", *arguments])


def done(*arguments: str) -> str:
    """Run a command that succeeds, and return its output."""
    result = run(*arguments)
    assert result.exit_code == 0, (result.exception, result.output)
    return result.output


def failed(*arguments: str) -> PenstockError:
    """Run a command that fails, and return its error."""
    result = run(*arguments)
    assert isinstance(result.exception, PenstockError), result.output
    return result.exception


def test_a_stack_from_create_to_delete(home: Home) -> None:
    """Each command prints what has happened, and ends when the operation has."""
    output = done("create", "web", "-t", "web.yaml", "--tags", "team=shop")
    assert "Handle  AWS::CloudFormation::WaitConditionHandle  CREATE_COMPLETE" in output
    assert output.rstrip().endswith("web  AWS::CloudFormation::Stack  CREATE_COMPLETE")
    assert json.loads(done("outputs", "web", "--json")) == {"Size": "1"}
    assert "Size  1" in done("outputs", "web")
    (stack,) = [s for s in json.loads(done("list", "--json")) if s["parent"] is None]
    assert (stack["name"], stack["status"], stack["parameters"]["Key"]) == ("web", "CREATE_COMPLETE", "****")
    assert stack["tags"] == {"team": "shop"}
    changes = done("changes", "web", "-t", "web.yaml", "-p", "Size=2")
    assert changes.startswith("~ Inner  AWS::CloudFormation::Stack\n    Parameters: ")
    assert "(ParameterReference Size)" in changes
    events = [
        json.loads(line) for line in done("update", "web", "-t", "web.yaml", "-p", "Size=2", "--json").splitlines()
    ]
    assert events[-1]["status"] == "UPDATE_COMPLETE"
    assert done("changes", "web", "-t", "web.yaml") == "no changes\n"
    assert "no changes" in run("update", "web", "-t", "web.yaml").stderr
    assert "Handle  AWS::CloudFormation::WaitConditionHandle  IN_SYNC" in done("drift", "web")
    assert done("delete", "web").rstrip().endswith("DELETE_COMPLETE")
    assert done("list").splitlines() == ["NAME  STATUS  CHANGED  DESCRIPTION"]
    assert "DELETE_COMPLETE" in done("list", "--all")
    assert "User Initiated" in done("events", stack["id"])


def test_events_name_the_user(home: Home) -> None:
    """Each command's event has the user of the shell, with `--json` and in a line."""
    done("create", "web", "-t", "web.yaml")
    done("update", "web", "-t", "web.yaml", "-p", "Size=2")
    found = [json.loads(line) for line in done("events", "web", "--json").splitlines()]
    user = current_user()
    assert [(each["status"], each["by"]) for each in found if each["by"]] == [
        ("CREATE_IN_PROGRESS", user),
        ("UPDATE_IN_PROGRESS", user),
    ]
    assert f"CREATE_IN_PROGRESS  User Initiated  by {user}\n" in done("events", "web")


def test_a_deletion_is_planned(home: Home) -> None:
    """It says what is deleted, in which order, and what is in the way. Nothing is changed."""
    done("create", "web", "-t", "web.yaml", "--protect")
    planned = json.loads(done("delete", "web", "--plan", "--json"))
    assert sorted((each["action"], each["resource"]) for each in planned["steps"]) == [
        ("delete", "Handle"),
        ("delete", "Inner"),
    ]
    assert planned["obstacles"] == ["termination protection is enabled"]
    text = done("delete", "web", "--plan")
    assert "delete  Handle    AWS::CloudFormation::WaitConditionHandle" in text
    assert text.endswith("cannot be deleted now: termination protection is enabled\n")
    assert json.loads(done("list", "--json"))[-1]["status"] == "CREATE_COMPLETE"
    assert "stack other does not exist" in failed("delete", "other", "--plan").message
    error = failed("delete", "web", "--plan", "--retain", "Inner")
    assert "RetainResources can only be specified for a stack in DELETE_FAILED state" in error.message


def test_what_is_not_in_progress_is_neither_cancelled_nor_continued(home: Home) -> None:
    """The error names the state of the stack."""
    done("create", "web", "-t", "web.yaml")
    error = failed("cancel", "web")
    assert error.message == "web: no creation or update is in progress, its state is CREATE_COMPLETE"
    assert "is in CREATE_COMPLETE state and can not continue rollback." in failed("continue", "web").message


@pytest.mark.parametrize("home", ["beside a daemon"], indirect=True)
def test_the_control_api_shows_what_the_commands_print(home: Home) -> None:
    """Stacks, resources and events. Values of NoEcho parameters are masked in both."""
    done("create", "web", "-t", "web.yaml")
    client = Client(home.daemon_socket)
    stacks = client.ask("GET", "/v1/stacks")
    assert stacks == json.loads(done("list", "--json"))
    assert client.ask("GET", "/v1/stacks/web") == stacks[-1]
    assert stacks[-1]["parameters"]["Key"] == "****"
    assert client.ask("GET", "/v1/stacks/web/resources") == json.loads(done("resources", "web", "--json"))
    assert "Handle    AWS::CloudFormation::WaitConditionHandle  CREATE_COMPLETE" in done("resources", "web")
    events = [json.loads(line) for line in done("events", "web", "--json").splitlines()]
    assert client.ask("GET", "/v1/stacks/web/events") == events
    assert client.ask("GET", "/v1/stacks/web/events?limit=2") == events[-2:]
    assert client.ask("GET", "/v1/stacks/web/deletion") == json.loads(done("delete", "web", "--plan", "--json"))
    done("delete", "web")
    assert client.ask("GET", "/v1/stacks") == []
    assert client.ask("GET", "/v1/stacks?deleted=1") == json.loads(done("list", "--all", "--json"))
    assert client.ask("GET", "/v1/stacks?owner=other&deleted=1") == []
    with pytest.raises(ConfigError, match="stack web does not exist"):
        client.ask("GET", "/v1/stacks/web/events")


def test_a_failure_is_rolled_back_with_its_exit_code(home: Home) -> None:
    """The error names the resource and its reason."""
    error = failed("create", "web", "-t", "bad.yaml")
    assert error.exit_code is ExitCode.ROLLED_BACK
    assert "web: ROLLBACK_COMPLETE: Inner: TemplateURL: cannot read" in error.message
    done("delete", "web")
    done("create", "web", "-t", "web.yaml")
    assert failed("update", "web", "-t", "bad.yaml").exit_code is ExitCode.ROLLED_BACK
    assert failed("update", "web", "-t", "bad.yaml", "--keep").exit_code is ExitCode.FAILED
    assert json.loads(done("list", "--json"))[-1]["status"] in {"UPDATE_FAILED", "CREATE_COMPLETE"}
    error = failed("create", "other", "-t", "bad.yaml", "--on-failure", "keep")
    assert (error.exit_code, "CREATE_FAILED" in error.message) == (ExitCode.FAILED, True)
    assert "DELETE_COMPLETE" in failed("create", "third", "-t", "bad.yaml", "--on-failure", "delete").message


def test_what_is_wrong_changes_nothing(home: Home) -> None:
    """A mistake is a usage error with the words of AWS, and no stack is stored."""
    for arguments, message in (
        (("create", "web", "-t", "nowhere.yaml"), "cannot read nowhere.yaml: No such file or directory"),
        (("create", "web", "-t", "web.yaml", "-p", "Size"), "--parameters Size: must have the form KEY=VALUE"),
        (("create", "web", "-t", "web.yaml", "-p", "Size=1", "-p", "Size=2"), "--parameters Size: is given twice"),
        (("create", "web", "-t", "web.yaml", "--timeout", "5"), "--timeout: '5' is not a valid duration"),
        (("create", "w_b", "-t", "web.yaml"), "1 validation error detected"),
        (("update", "web", "-t", "web.yaml"), "Stack [web] does not exist"),
        (("delete", "web"), "Stack with id web does not exist"),
        (("cancel", "web"), "Stack with id web does not exist"),
        (("outputs", "web"), "Stack with id web does not exist"),
    ):
        error = failed(*arguments)
        assert (error.exit_code, error.message.startswith(message)) == (ExitCode.BAD_CONFIGURATION, True), error
    assert json.loads(done("list", "--all", "--json")) == []


def test_a_template_is_validated(folder: Path) -> None:
    """A valid one shows its parameters and types. A mistake has its place."""
    assert "types: AWS::CloudFormation::WaitConditionHandle" in done("validate", "web.yaml")
    assert json.loads(done("validate", "web.yaml", "--json"))["Parameters"][0]["ParameterKey"] == "Size"
    (folder / "wrong.yaml").write_text(WEB.replace("!Ref Size", "!Ref Nothing"))
    assert "wrong.yaml:5:" in failed("validate", "wrong.yaml").message
    assert "Size" in failed("validate", "web.yaml", "-p", "Size=many").message
    (folder / "other.yaml").write_text("Resources: {A: {Type: 'AWS::Lambda::Function'}}")
    assert "Unrecognized resource types" in failed("validate", "other.yaml").message
    done("validate", "other.yaml", "--ignore-unknown")


def test_an_operation_that_was_killed_is_continued(folder: Path) -> None:
    """The next command on the stack completes it first. `recover` completes all."""
    names = [f"H{number}" for number in range(300)]
    text = "Resources:\n" + "".join(f"  {name}: {{Type: {HANDLE}}}\n" for name in names)
    (folder / "many.yaml").write_text(text)
    for number, command in enumerate(("recover", "delete")):
        name = f"many{number}"
        arguments = ["stack", "create", name, "-t", "many.yaml", "--json"]
        with subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli.main", *arguments], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
        status = {s["name"]: s["status"] for s in json.loads(done("list", "--json"))}
        assert status[name] == "CREATE_IN_PROGRESS"
        done(command, *([name] if command == "delete" else []))
        found = {s["name"]: s["status"] for s in json.loads(done("list", "--all", "--json"))}
        assert found[name] == ("CREATE_COMPLETE" if command == "recover" else "DELETE_COMPLETE")


def test_an_interrupted_creation_is_rolled_back(folder: Path) -> None:
    """Ctrl-C cancels what the command does itself, and waits for the rollback."""
    resources = "".join(
        f"  H{number}: {{Type: {HANDLE}, DependsOn: {'[]' if number == 0 else f'H{number - 1}'}}}\n"
        for number in range(400)
    )
    (folder / "chain.yaml").write_text(f"Resources:\n{resources}")
    arguments = ["stack", "create", "chain", "-t", "chain.yaml"]
    command = [sys.executable, "-m", "pipeline.cli.main", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == ExitCode.CANCELLED
    assert rest.rstrip().endswith("ROLLBACK_COMPLETE")


def test_the_tree_has_the_resources_of_nested_stacks(folder: Path) -> None:
    """Each resource is a line with its type, its state, and its reason or id."""
    done("create", "web", "-t", "web.yaml")
    with stack_session("aws") as session:
        console = Console(width=200, file=StringIO())
        console.print(draw(session, session.stacks.find("aws", "web")))
        assert isinstance(console.file, StringIO)
        lines = console.file.getvalue().splitlines()
    assert lines[0].startswith("web  CREATE_COMPLETE")
    assert "Handle  AWS::CloudFormation::WaitConditionHandle  CREATE_COMPLETE  a placeholder" in lines[1]
    assert "Inner   AWS::CloudFormation::Stack  CREATE_COMPLETE" in lines[2]
    assert "Handle  AWS::CloudFormation::WaitConditionHandle" in lines[3]


def test_a_daemon_resumes_what_was_left(folder: Path) -> None:
    """Its check finds an operation that no process carries out."""
    home = Home.locate()
    stacks = open_stacks(home)
    draft = new_stack(
        "web",
        "aws",
        "us-east-1",
        "000000000000",
        Goal(WEB.replace("inner.yaml", str(folder / "inner.yaml")), {"Size": "1", "Key": "k"}),
        stacks.clock,
    )
    stacks.store.add(draft, ())
    stacks.close()
    with Store(home.database) as store:
        supervisor = StackSupervisor(home, store.stacks.has_unfinished)
        supervisor.step()
        assert supervisor.stacks().wait(draft.id).status == "CREATE_COMPLETE"
        assert not store.stacks.has_unfinished()
        supervisor.close()
