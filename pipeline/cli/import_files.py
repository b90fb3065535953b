"""What the imports have in common: reading their files, and writing a pipeline.yaml."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from pipeline.base.errors import ConfigError

output_option = click.option(
    "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write to FILE instead of the standard output."
)
force_option = click.option("--force", is_flag=True, help="Overwrite existing files.")


def read_text(file: Path) -> str:
    """Return the text of a file, or of the standard input for `-`. Raises `ConfigError`."""
    try:
        # A byte order mark is no part of the text.
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist") from None
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8") from error
    except ValueError as error:
        raise ConfigError(f"cannot read {str(file)!r}: {error}") from error


def check_absent(file: Path, force: bool) -> None:
    """Raise `ConfigError` if a file exists and must not be overwritten."""
    if file.exists() and not force:
        raise ConfigError(f"{file} already exists", hint="overwrite it with --force")


def write_text(file: Path, text: str, mode: int = 0o644) -> None:
    """Write a file with a mode, which it has before its content. Raises `ConfigError`."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            if mode == 0o600:
                os.fchmod(descriptor, mode)
            opened.write(text)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from error
