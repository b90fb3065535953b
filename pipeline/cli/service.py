"""`pipeline service`: a systemd unit for `pipeline serve`."""

from __future__ import annotations

import glob
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipeline.base.errors import ConfigError, SystemFault
from pipeline.base.files import write_atomically
from pipeline.base.home import VARIABLE, Home
from pipeline.cli.aws_endpoint import check_aws_options
from pipeline.cli.serve import SHUTDOWN_TIMEOUT, read_token, serving_options
from pipeline.cli.session import FILE
from pipeline.cli.web_server import settings_for

NAME = "penstock"
# HAProxy and the adapter for functions outlive a restart of the daemon: systemd stops only the main process (KillMode).
# If one of them runs out of memory, the daemon continues (OOMPolicy).
_UNIT = """\
{mark}
[Unit]
Description=Penstock: runs new commits and keeps deployed releases healthy
Wants=network-online.target
After=network-online.target docker.service
RequiresMountsFor={mount}
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Environment={environment}
EnvironmentFile=-{variables}
Restart=always
RestartSec=2
KillMode=process
KillSignal=SIGTERM
TimeoutStopSec={timeout:.0f}
WatchdogSec={watchdog}
WatchdogSignal=SIGKILL
OOMPolicy=continue

[Install]
WantedBy={target}
"""
_MARK = "# Written by `pipeline service install` for "
# Variables of the installing shell, so that the daemon finds the same Docker, git and ssh.
_KEPT = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
# In seconds. systemd kills and restarts a daemon that does not notify it for this long. SIGKILL ends a stopped one too.
_WATCHDOG_SECONDS = 10
# In seconds, on top of SHUTDOWN_TIMEOUT, to close the listeners after the last run has stopped.
_CLOSE_TIMEOUT = 20.0


@dataclass(frozen=True)
class Scope:
    """The systemd of the machine or of one user. The path `running` exists while it runs."""

    folder: Path
    running: Path
    target: str
    flags: tuple[str, ...] = ()

    @property
    def unit(self) -> Path:
        """The file of the unit."""
        return self.folder / f"{NAME}.service"

    def systemctl(self, *arguments: str) -> str:
        """Return a command line, to run or to print."""
        return " ".join(("systemctl", *self.flags, *arguments))


def system_scope() -> Scope:
    """Return the systemd of the machine."""
    return Scope(Path("/etc/systemd/system"), Path("/run/systemd/system"), "multi-user.target")


def user_scope() -> Scope:
    """Return the systemd of the current user."""
    settings = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return Scope(Path(settings) / "systemd/user", Path(runtime) / "systemd", "default.target", ("--user",))


def _scope_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--system/--user",
        "system",
        default=None,
        help="systemd of the machine or of the user. Default: the machine's for root.",
    )(command)


@click.group("service")
def command() -> None:
    """Manage a systemd unit that starts `pipeline serve` on boot and restarts it when it exits."""


@command.command("install")
@_scope_option
@serving_options
def install(
    system: bool | None,
    files: tuple[Path, ...],
    listen: str | None,
    token_file: Path | None,
    public: str | None,
    dns: str | None,
    web: str | None,
    aws: str | None,
    zones: tuple[str, ...],
) -> None:
    """Write a unit for the pipelines in FILES (default: pipeline.yaml) and start it. Replaces an earlier unit.

    The daemon reads variables, such as secrets, from NAME=value lines of serve.env in its home.
    """
    home, scope = Home.locate(), _scope(system=system)
    served = [file.absolute() for file in files or (Path(FILE),)]
    names = [_name_of(file, home) for file in served]
    if bool(listen) != bool(token_file):
        raise ConfigError("--listen and --token-file require each other", hint="openssl rand -hex 32 > FILE")
    check_aws_options(aws, zones)
    if web:
        settings_for(home, web)
    if token_file:
        read_token(token_file)
    token = token_file and str(token_file.absolute())
    places = {"--listen": listen, "--token-file": token, "--public": public, "--dns": dns, "--web": web, "--aws": aws}
    options = [word for option, place in places.items() if place for word in (option, place)]
    options += [word for zone in zones for word in ("--zone", zone)]
    _check_owner(scope.unit, home)
    _write(scope.unit, unit_text(home, [*options, *map(str, served)], scope.target))
    click.echo(f"wrote {scope.unit} for {', '.join(names)} in {home.root}")
    _systemctl(scope, "daemon-reload", f"enable {NAME}", f"restart {NAME}")
    if scope.flags:
        click.echo("to keep it running while you are logged out: loginctl enable-linger")
    click.echo(f"to read its log: journalctl {' '.join((*scope.flags, '-f', '-u', NAME))}")


@command.command("uninstall")
@_scope_option
def uninstall(system: bool | None) -> None:
    """Stop the daemon and remove its unit. HAProxy and the containers continue to run."""
    scope = _scope(system=system)
    if not scope.unit.exists():
        raise ConfigError(f"{scope.unit} does not exist", hint="use --user or --system to choose the other one")
    if not _is_installed(scope.unit):
        raise ConfigError(f"{scope.unit} was not written by Penstock, so it is kept")
    _systemctl(scope, f"disable --now {NAME}")
    try:
        scope.unit.unlink()
    except OSError as error:
        raise SystemFault(f"cannot remove {scope.unit}: {error.strerror}") from error
    click.echo(f"removed {scope.unit}")
    _systemctl(scope, "daemon-reload")


def unit_text(home: Home, arguments: list[str], target: str) -> str:
    """Return the text of the unit for `pipeline serve ARGUMENTS`."""
    # Without -P, Python would import a folder named pipeline in the working directory.
    command = [sys.executable, "-P", "-m", "pipeline.cli.main", "serve", *arguments]
    return _UNIT.format(
        mark=_mark(home),
        mount=quoted(str(home.root)),
        command=" ".join(quoted(word).replace("$", "$$") for word in command),
        environment=" ".join(quoted(f"{name}={value}") for name, value in _environment(home).items()),
        # EnvironmentFile is a pattern, not a list of words, so quotes do not work.
        variables=glob.escape(str(_variables_file(home))).replace("%", "%%"),
        timeout=SHUTDOWN_TIMEOUT + _CLOSE_TIMEOUT,
        watchdog=_WATCHDOG_SECONDS,
        target=target,
    )


def quoted(word: str) -> str:
    """Return one word, quoted for settings of systemd that take a list of words."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%")
    return f'"{escaped}"'


def _name_of(file: Path, home: Home) -> str:
    """Return the pipeline's name. Raises `ConfigError` if the file is invalid with the daemon's variables."""
    from pipeline.config.load import load
    from pipeline.config.secrets import read_secrets

    variables = _variables_file(home)
    environ = _environment(home) | (read_secrets(variables) if variables.exists() else {})
    try:
        return load(file, {}, environ).pipeline.name
    except ConfigError as error:
        if any(problem.reason.startswith("secret ") for problem in error.problems):
            error.hint = f"the daemon does not get this shell's variables: add NAME=value to {variables}, mode 0600"
        raise


def _environment(home: Home) -> dict[str, str]:
    return {VARIABLE: str(home.root), **{name: os.environ[name] for name in _KEPT if name in os.environ}}


def _variables_file(home: Home) -> Path:
    return home.root / "serve.env"


def _scope(*, system: bool | None) -> Scope:
    return system_scope() if system or (system is None and os.geteuid() == 0) else user_scope()


def _mark(home: Home) -> str:
    return _MARK + quoted(str(home.root))


def _is_installed(unit: Path) -> bool:
    return unit.read_text(errors="replace").startswith(_MARK)


def _check_owner(unit: Path, home: Home) -> None:
    if unit.exists() and not unit.read_text(errors="replace").startswith(_mark(home) + "\n"):
        raise ConfigError(
            f"{unit} already exists, but not for {home.root}", hint="remove it with `pipeline service uninstall`"
        )


def _write(unit: Path, text: str) -> None:
    try:
        unit.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(unit, text, 0o644)
    except OSError as error:
        raise ConfigError(f"cannot write {unit}: {error.strerror}", hint="use --user, or run as root") from error


def _systemctl(scope: Scope, *commands: str) -> None:
    """Run the commands if systemd is running, else print them."""
    for words in map(scope.systemctl, commands):
        if not scope.running.exists():
            click.echo(f"systemd is not running; to do later: {words}")
            continue
        done = subprocess.run(words.split(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemFault(f"{words}: {done.stderr.strip()}", hint=f"see {scope.systemctl('status', NAME)}")
        click.echo(words)
