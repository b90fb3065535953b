"""The parameters of a home on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ValidationError

from pipeline.base.errors import StoreFault
from pipeline.base.files import make_folder, write_atomically
from pipeline.base.lock import short_lock
from pipeline.parameter_store.parameter import StoredParameter, Version, split_selector

_VERSION = 1
Change = Callable[[StoredParameter | None], StoredParameter | None]


class _File(BaseModel):
    version: int
    parameters: list[StoredParameter]


class ParameterStore:
    """The parameters of a home, in `parameters.json` with mode 0600. Safe to use from many threads and processes.

    Each method raises `StoreFault` if the file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "parameters.json"
        self._lock = folder / "parameters.lock"

    def all(self, owner: str) -> list[StoredParameter]:
        """Return an owner's parameters by name."""
        return sorted((each for each in self._read() if each.owner == owner), key=lambda each: each.name)

    def find(self, owner: str, name: str) -> StoredParameter | None:
        """Return a parameter, or None."""
        return next((each for each in self._read() if (each.owner, each.name) == (owner, name)), None)

    def of_token(self, owner: str, token: str) -> StoredParameter | None:
        """Return the parameter that a stack's resource has made, or None."""
        return next((each for each in self._read() if (each.owner, each.token) == (owner, token)), None)

    def version(self, owner: str, selector: str) -> Version:
        """Return the version that `NAME` or `NAME:VERSION` means. Raises `KeyError` if there is none."""
        try:
            name, number = split_selector(selector)
        except ValueError:
            raise KeyError(selector) from None
        found = self.find(owner, name)
        if found is None:
            raise KeyError(selector)
        version = found.latest if number is None else found.version(number)
        if version is None:
            raise KeyError(selector)
        return version

    def change(self, owner: str, name: str, change: Change) -> StoredParameter | None:
        """Replace a parameter by what `change` makes of it, and return that. None stands for no parameter.

        If `change` raises, nothing has changed. What has changed is on disk when this returns.
        """
        try:
            make_folder(self._file.parent)
            with short_lock(self._lock):
                known = self._read()
                before = next((each for each in known if (each.owner, each.name) == (owner, name)), None)
                after = change(before)
                if after != before:
                    self._write([*(each for each in known if each is not before), *([after] if after else [])])
                return after
        except OSError as error:
            raise StoreFault(f"cannot write {self._file}: {error.strerror}") from error

    def _read(self) -> list[StoredParameter]:
        try:
            found = _File.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreFault(f"cannot read {self._file}: {error.strerror}") from error
        except ValidationError as error:
            # Without the input, which has secret values.
            problems = error.errors(include_input=False, include_url=False, include_context=False)
            raise StoreFault(f"cannot read {self._file}: {problems[0]['msg']}") from None
        if found.version != _VERSION:
            raise StoreFault(f"{self._file} was written by another version of Penstock")
        return found.parameters

    def _write(self, parameters: list[StoredParameter]) -> None:
        write_atomically(self._file, _File(version=_VERSION, parameters=parameters).model_dump_json(indent=1))
