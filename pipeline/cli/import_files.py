"""What the imports have in common: reading their files, and writing a pipeline.yaml."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.base.files import write_atomically

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
    """Write a file with a mode, less the umask. A crash leaves the old file or the new one. Raises `ConfigError`."""
    umask = os.umask(0o077)
    os.umask(umask)
    try:
        if file.exists() and not file.is_file():
            # Such as /dev/stdout, which cannot be replaced.
            file.write_text(text, encoding="utf-8")
        else:
            # A link stays one.
            write_atomically(file.resolve(), text, mode & ~umask)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from error
