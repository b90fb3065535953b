"""JUnit XML, as test runners write it. It comes out of the user's container: nothing in it is trusted."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

_FILES = 200


class NotJUnit(ValueError):
    """The reports cannot be read."""


@dataclass(frozen=True)
class TestReport:
    """The number of tests that ran, and the names of those that failed."""

    tests: int
    skipped: int
    failed: tuple[str, ...]

    __test__ = False

    def __str__(self) -> str:
        parts = [f"{self.tests} tests"]
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        return ", ".join(parts)


def read_reports(archive: bytes) -> TestReport:
    """The reports in a tar of a file or a folder. Raises `NotJUnit`."""
    tests, skipped = 0, 0
    failed: list[str] = []
    for name, content in _files(archive):
        for case in _cases(name, content):
            tests += 1
            skipped += case.find("skipped") is not None
            if case.find("failure") is not None or case.find("error") is not None:
                failed.append(_name(case))
    return TestReport(tests, skipped, tuple(failed))


def _files(archive: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = [m for m in tar if m.isfile() and m.name.endswith(".xml")][:_FILES]
            for member in members:
                file = tar.extractfile(member)
                yield member.name, file.read() if file else b""
    except tarfile.TarError as error:
        raise NotJUnit(f"the reports are no readable archive: {error}") from error


def _cases(name: str, content: bytes) -> Iterator[ElementTree.Element]:
    # A document type is the door to entities that expand to gigabytes; no test runner writes one.
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise NotJUnit(f"{name} holds a document type, which no report needs")
    try:
        yield from ElementTree.fromstring(content).iter("testcase")  # noqa: S314
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise NotJUnit(f"{name} is not XML: {error}") from error


def _name(case: ElementTree.Element) -> str:
    group = case.get("classname", "")
    return f"{group}.{case.get('name', '?')}" if group else case.get("name", "?")
