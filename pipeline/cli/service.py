"""`pipeline service`: have systemd keep `pipeline serve` running."""

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
from pipeline.base.home import VARIABLE, Home
from pipeline.cli.serve import PATIENCE, read_token, serving_options
from pipeline.cli.session import FILE

NAME = "penstock"
# HAProxy and what speaks to functions go on while the daemon is started anew: only its own process is ended (KillMode),
# and one of them that runs out of memory does not take it along (OOMPolicy).
_UNIT = """\
{mark}
[Unit]
Description=Penstock: runs what is new, and keeps in service what is deployed
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
TimeoutStopSec={patience:.0f}
OOMPolicy=continue

[Install]
WantedBy={target}
"""
_MARK = "# Written by `pipeline service install` for "
# Docker, git and ssh are found as by whoever installs it.
_KEPT = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
# The listeners are closed after what is being done has ended: a little more than serve waits.
_MORE = 20.0


@dataclass(frozen=True)
class Scope:
    """Whose systemd: the machine's, or that of one user. `running` is there while it runs."""

    folder: Path
    running: Path
    target: str
    flags: tuple[str, ...] = ()

    @property
    def unit(self) -> Path:
        """The unit's file."""
        return self.folder / f"{NAME}.service"

    def systemctl(self, *arguments: str) -> str:
        """A command line, to run or to show."""
        return " ".join(("systemctl", *self.flags, *arguments))


def system_scope() -> Scope:
    """The machine's systemd."""
    return Scope(Path("/etc/systemd/system"), Path("/run/systemd/system"), "multi-user.target")


def user_scope() -> Scope:
    """The systemd of whoever calls."""
    settings = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return Scope(Path(settings) / "systemd/user", Path(runtime) / "systemd", "default.target", ("--user",))


def _scope_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--system/--user", "system", default=None, help="Whose systemd; the machine's for root, else your own."
    )(command)


@click.group("service")
def command() -> None:
    """Have systemd start `pipeline serve` with the machine, and again whenever it ends."""


@command.command("install")
@_scope_option
@serving_options
def install(
    system: bool | None, files: tuple[Path, ...], listen: str | None, token_file: Path | None, public: str | None
) -> None:
    """Write a unit that serves FILES, pipeline.yaml by default, and start it. Installing again replaces it.

    Variables for it, such as secrets, may stand in serve.env in its home: NAME=value lines.
    """
    home, scope = Home.locate(), _scope(system=system)
    served = [file.absolute() for file in files or (Path(FILE),)]
    names = [_name_of(file, home) for file in served]
    if bool(listen) != bool(token_file):
        raise ConfigError("--listen and --token-file go together", hint="write a long random word into a file")
    if token_file:
        read_token(token_file)
    places = {"--listen": listen, "--token-file": token_file and str(token_file.absolute()), "--public": public}
    options = [word for option, place in places.items() if place for word in (option, place)]
    _refuse_stranger(scope.unit, home)
    _write(scope.unit, unit_text(home, [*options, *map(str, served)], scope.target))
    click.echo(f"wrote {scope.unit}, which serves {', '.join(names)} of {home.root}")
    _systemctl(scope, "daemon-reload", f"enable {NAME}", f"restart {NAME}")
    if scope.flags:
        click.echo("so that it runs while you are not logged in: loginctl enable-linger")
    click.echo(f"what it says: journalctl {' '.join((*scope.flags, '-f', '-u', NAME))}")


@command.command("uninstall")
@_scope_option
def uninstall(system: bool | None) -> None:
    """End what serves and take the unit away. HAProxy and the containers go on as they are."""
    scope = _scope(system=system)
    if not scope.unit.exists():
        raise ConfigError(f"there is no {scope.unit}", hint="--user and --system are two different places")
    if not _is_ours(scope.unit):
        raise ConfigError(f"{scope.unit} is not ours: nothing was taken away")
    _systemctl(scope, f"disable --now {NAME}")
    try:
        scope.unit.unlink()
    except OSError as error:
        raise SystemFault(f"cannot remove {scope.unit}: {error.strerror}") from error
    click.echo(f"removed {scope.unit}")
    _systemctl(scope, "daemon-reload")


def unit_text(home: Home, arguments: list[str], target: str) -> str:
    """The unit for `pipeline serve ARGUMENTS`."""
    # Without -P, a folder called pipeline where it is started would be taken for ours.
    command = [sys.executable, "-P", "-m", "pipeline.cli.main", "serve", *arguments]
    return _UNIT.format(
        mark=_mark(home),
        mount=quoted(str(home.root)),
        command=" ".join(quoted(word).replace("$", "$$") for word in command),
        environment=" ".join(quoted(f"{name}={value}") for name, value in _environment(home).items()),
        # This one is no list of words but a pattern, of which there are no quotes.
        variables=glob.escape(str(_variables_file(home))).replace("%", "%%"),
        patience=PATIENCE + _MORE,
        target=target,
    )


def quoted(word: str) -> str:
    """One word as systemd reads it, in any setting that takes a list of words."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%")
    return f'"{escaped}"'


def _name_of(file: Path, home: Home) -> str:
    """The pipeline in a file. Raises `ConfigError` where the daemon, with its own variables, could not serve it."""
    from pipeline.config.load import load
    from pipeline.config.secrets import read_secrets

    variables = _variables_file(home)
    environ = _environment(home) | (read_secrets(variables) if variables.exists() else {})
    try:
        return load(file, {}, environ).pipeline.name
    except ConfigError as error:
        if any(problem.reason.startswith("secret ") for problem in error.problems):
            error.hint = f"the daemon has no variable of this shell: write NAME=value into {variables}, mode 0600"
        raise


def _environment(home: Home) -> dict[str, str]:
    return {VARIABLE: str(home.root), **{name: os.environ[name] for name in _KEPT if name in os.environ}}


def _variables_file(home: Home) -> Path:
    return home.root / "serve.env"


def _scope(*, system: bool | None) -> Scope:
    return system_scope() if system or (system is None and os.geteuid() == 0) else user_scope()


def _mark(home: Home) -> str:
    return _MARK + quoted(str(home.root))


def _is_ours(unit: Path) -> bool:
    return unit.read_text(errors="replace").startswith(_MARK)


def _refuse_stranger(unit: Path, home: Home) -> None:
    if unit.exists() and not unit.read_text(errors="replace").startswith(_mark(home) + "\n"):
        raise ConfigError(
            f"{unit} is there already, and not for {home.root}", hint="`pipeline service uninstall` takes ours away"
        )


def _write(unit: Path, text: str) -> None:
    try:
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.write_text(text)
    except OSError as error:
        raise ConfigError(
            f"cannot write {unit}: {error.strerror}", hint="--user needs no rights but yours, --system needs root"
        ) from error


def _systemctl(scope: Scope, *commands: str) -> None:
    """Have systemd do it where it runs; elsewhere say what to do where it does."""
    for words in map(scope.systemctl, commands):
        if not scope.running.exists():
            click.echo(f"systemd does not run here; where it does: {words}")
            continue
        done = subprocess.run(words.split(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemFault(f"{words}: {done.stderr.strip()}", hint=f"see {scope.systemctl('status', NAME)}")
        click.echo(words)
