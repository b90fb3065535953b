"""`pipeline service` writes a unit that systemd accepts."""

from __future__ import annotations

import errno
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.base.errors import ConfigError, SystemFault
from pipeline.base.home import Home
from pipeline.cli import service
from pipeline.cli.serve import SHUTDOWN_TIMEOUT
from pipeline.cli.service import Scope, quoted, unit_text
from tests.support.pipeline_yaml import MINIMAL

SYSTEMCTL = """\
#!/bin/sh
echo "$*" >> {log}
exit {code}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return a home whose path is hard to quote, with a pipeline beside it."""
    odd = tmp_path / 'with space % "$HOME" [1]'
    odd.mkdir()
    monkeypatch.chdir(odd)
    monkeypatch.setenv("PENSTOCK_HOME", str(odd / "home"))
    Path("pipeline.yaml").write_text(MINIMAL)
    return Home.locate()


@pytest.fixture
def scope(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scope:
    """Return the user's systemd, which is not running."""
    scope = Scope(tmp_path / "units", tmp_path / "systemd", "default.target", ("--user",))
    monkeypatch.setattr(service, "user_scope", lambda: scope)
    return scope


@pytest.fixture
def systemctl(scope: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a systemctl that records its arguments, and return the record."""
    scope.running.mkdir()
    log = tmp_path / "output"
    command = tmp_path / "bin" / "systemctl"
    command.parent.mkdir()
    command.write_text(SYSTEMCTL.format(log=log, code=0))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=":")
    return log


def service_command(*arguments: str) -> Result:
    return CliRunner().invoke(service.command, arguments, catch_exceptions=False)


def settings(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def test_what_runs_on_is_not_ended_with_it(home: Home) -> None:
    """The unit stops only the main process, with a longer timeout than the daemon's own."""
    found = settings(unit_text(home, [], "default.target"))
    assert (found["KillMode"], found["KillSignal"], found["OOMPolicy"]) == ("process", "SIGTERM", "continue")
    assert float(found["TimeoutStopSec"]) > SHUTDOWN_TIMEOUT + 3 * 5
    assert (found["Restart"], found["Type"]) == ("always", "notify")
    assert found["ExecReload"].endswith("-HUP $MAINPID")


@pytest.mark.parametrize("manager", ["--system", "--user"])
def test_systemd_takes_it(manager: str, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd-analyze accepts the unit for any paths."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    unit = tmp_path / "penstock.service"
    unit.write_text(unit_text(home, ["--public", "127.0.0.1:80", str(Path("pipeline.yaml").absolute())], "x.target"))

    def verdict() -> tuple[int, str]:
        verify = ["systemd-analyze", manager, "verify", str(unit)]
        done = subprocess.run(verify, capture_output=True, text=True, check=False)
        return done.returncode, "\n".join(line for line in done.stderr.splitlines() if "penstock.service" in line)

    assert verdict() == (0, "")
    unit.write_text(
        unit.read_text().replace('ExecStart="/', 'ExecStart="/nowhere/').replace("KillMode=p", "KillMode=x")
    )
    code, output = verdict()
    assert code or "KillMode" in output


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("plain", '"plain"'),
        ("two words", '"two words"'),
        ("100%", '"100%%"'),
        ('say "so"', r'"say \"so\""'),
        ("back\\slash", r'"back\\slash"'),
        ("a\nb", r'"a\nb"'),
    ],
)
def test_words_are_written_as_systemd_reads_them(word: str, written: str) -> None:
    """Words are quoted as in systemd.syntax(7) and systemd.unit(5)."""
    assert quoted(word) == written


def test_places_are_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unit keeps the home, the variables for git and Docker, and the variables file."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/1000/docker.sock")
    found = settings(unit_text(home, ["/srv/a $b/pipeline.yaml"], "default.target"))
    assert quoted(f"PENSTOCK_HOME={home.root}") in found["Environment"]
    assert '"DOCKER_HOST=unix:///run/user/1000/docker.sock"' in found["Environment"]
    assert found["ExecStart"].endswith(' "serve" "/srv/a $$b/pipeline.yaml"')
    # A pattern: brackets stand for themselves in brackets.
    assert found["EnvironmentFile"] == f"-{home.root}/serve.env".replace("%", "%%").replace("[1]", "[[]1]")


def test_without_systemd_the_commands_are_printed(scope: Scope) -> None:
    """Without systemd, the commands are printed and not run."""
    done = service_command("install", "--user")
    assert done.exit_code == 0
    assert f"wrote {scope.unit} for shop" in done.output
    for output in ("systemctl --user daemon-reload", "systemctl --user enable penstock", "loginctl enable-linger"):
        assert output in done.output


def test_with_systemd_it_is_started_and_ended(scope: Scope, systemctl: Path) -> None:
    """The unit is started, replaced with other files, and removed."""
    service_command(
        "install", "--user", "--public", "127.0.0.1:8081", "--dns", "127.0.0.1:5300", "--web", "127.0.0.1:9001"
    )
    assert systemctl.read_text().splitlines() == [
        "--user daemon-reload",
        "--user enable penstock",
        "--user restart penstock",
    ]
    assert '"--public" "127.0.0.1:8081" "--dns" "127.0.0.1:5300" "--web" "127.0.0.1:9001"' in scope.unit.read_text()
    service_command("install", "--user", "--aws", "127.0.0.1:4566", "--zone", "a=127.0.0.1", "--zone", "b=127.0.0.2")
    assert '"--aws" "127.0.0.1:4566" "--zone" "a=127.0.0.1" "--zone" "b=127.0.0.2"' in scope.unit.read_text()
    service_command("install", "--user")
    assert "--public" not in scope.unit.read_text()
    systemctl.unlink()
    service_command("uninstall", "--user")
    assert systemctl.read_text().splitlines() == ["--user disable --now penstock", "--user daemon-reload"]
    assert not scope.unit.exists()


def test_a_failure_of_systemctl_is_reported(scope: Scope, systemctl: Path, tmp_path: Path) -> None:
    """A failure of systemctl is reported with the command that shows more."""
    (tmp_path / "bin" / "systemctl").write_text(SYSTEMCTL.format(log=systemctl, code=1))
    with pytest.raises(SystemFault, match="systemctl --user daemon-reload") as caught:
        service_command("install", "--user")
    assert caught.value.hint == "see systemctl --user status penstock"


@pytest.mark.parametrize("content", ["[Unit]\nDescription=mine\n", "another home"])
def test_a_foreign_unit_is_kept(content: str, scope: Scope, home: Home, tmp_path: Path) -> None:
    """A unit that Penstock did not write, or of another home, is kept."""
    other = replace(home, root=tmp_path / "elsewhere")
    text = unit_text(other, [], "default.target") if content == "another home" else content
    scope.folder.mkdir()
    scope.unit.write_text(text)
    with pytest.raises(ConfigError, match="already exists, but not for"):
        service_command("install", "--user")
    assert scope.unit.read_text() == text


def test_nothing_is_written_for_what_could_not_be_served(scope: Scope, tmp_path: Path) -> None:
    """Invalid files or options write no unit."""
    token = tmp_path / "token"
    token.write_text("x" * 20)
    token.chmod(0o644)
    cases = (
        (["nowhere.yaml"], "nowhere.yaml does not exist"),
        (["--listen", "127.0.0.1:1"], "require each other"),
        (["--listen", "127.0.0.1:1", "--token-file", str(token)], "must have mode 0600"),
    )
    for arguments, output in cases:
        with pytest.raises(ConfigError, match=output):
            service_command("install", "--user", *arguments)
    assert not scope.folder.exists()
    with pytest.raises(ConfigError, match="does not exist"):
        service_command("uninstall", "--user")


def test_a_secret_has_to_be_where_the_daemon_finds_it(
    scope: Scope, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that only the shell has is an error, and one in serve.env is not."""
    monkeypatch.setenv("TOKEN", "of this shell")
    Path("pipeline.yaml").write_text(MINIMAL + "triggers: {webhooks: {github: {secret: '${secret:TOKEN}'}}}\n")
    with pytest.raises(ConfigError, match="secret TOKEN is not in the environment") as caught:
        service_command("install", "--user")
    variables = home.root / "serve.env"
    assert str(variables) in str(caught.value.hint)
    variables.write_text("TOKEN=of the daemon\n")
    variables.chmod(0o600)
    assert service_command("install", "--user").exit_code == 0
    assert "of the daemon" not in scope.unit.read_text()


def test_a_unit_that_cannot_be_written_stays_as_it_was(scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves the previous unit, and no part of the new one."""
    assert service_command("install", "--user").exit_code == 0
    before = scope.unit.read_text()
    assert scope.unit.stat().st_mode & 0o777 == 0o644

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        service_command("install", "--user", "--public", "127.0.0.1:9000")
    assert scope.unit.read_text() == before
    assert list(scope.folder.iterdir()) == [scope.unit]
