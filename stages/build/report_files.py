"""The report files of a test container. They come from a user's container and are not trusted."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element

from pipeline.base.quantity import format_size
from stages.build.chunk_stream import ChunkStream
from stages.build.dotnet_reports import nunit_cases, trx_cases, xunit_cases
from stages.build.junit import junit_cases
from stages.build.report import Case, TestReport
from stages.build.report_xml import UnreadableXml, parse_report

FILES_LIMIT = 2_000
SIZE_LIMIT = 64 * 2**20
TESTS_LIMIT = 500_000
# A folder of reports may hold other files too, such as screenshots.
STREAM_LIMIT = 2**30
_SUFFIXES = (".xml", ".trx")
_READERS: dict[str, Callable[[Element], list[Case]]] = {
    "testsuites": junit_cases,
    "testsuite": junit_cases,
    "TestRun": trx_cases,
    "test-run": nunit_cases,
    "test-results": nunit_cases,
    "assemblies": xunit_cases,
}
Written = Callable[[tarfile.TarInfo], bool]


class ReportFiles:
    """Reads the reports in a tar of a file or a folder. `written` returns whether the tests wrote a file.

    Files are read separately, so an unreadable one does not hide the others.
    """

    def __init__(self, written: Written) -> None:
        self._written = written
        self._cases: list[Case] = []
        self._unread: list[str] = []
        self._files = self._size = self._brought = self._over = self._other = 0

    def read(self, chunks: Iterator[bytes]) -> TestReport | None:
        """Return the report, or None if no file can be a report."""
        try:
            with tarfile.open(fileobj=ChunkStream(chunks), mode="r|") as tar:
                for member in tar:
                    if tar.offset > STREAM_LIMIT:
                        self._unread.append(f"what follows the first {format_size(STREAM_LIMIT)} is not read")
                        break
                    self._take(tar, member)
        except tarfile.TarError as error:
            if self._files or not str(error).startswith("empty"):
                self._unread.append(f"the reports are not a readable archive: {error}")
        if self._over:
            limit = f"at most {FILES_LIMIT} files, {format_size(SIZE_LIMIT)} and {TESTS_LIMIT} tests are read"
            self._unread.append(f"{self._over} more report file{'s' * (self._over > 1)} not read: {limit}")
        if not self._files and not self._unread and not self._brought:
            return None
        return TestReport.from_cases(self._cases, self._unread, self._brought)

    def _take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        # The path itself may be a file of any name.
        if member.isdir() or ("/" in member.name and not member.name.lower().endswith(_SUFFIXES)):
            return
        if not member.isfile():
            if "/" not in member.name:
                self._unread.append(f"{member.name} is a link to {member.linkname}: name that path")
            return
        if not self._written(member):
            self._brought += 1
        elif self._files >= FILES_LIMIT or self._size + member.size > SIZE_LIMIT or len(self._cases) >= TESTS_LIMIT:
            self._over += 1
        else:
            content = tar.extractfile(member)
            self._read(member.name, content.read() if content else b"")

    def _read(self, name: str, content: bytes) -> None:
        self._files += 1
        self._size += len(content)
        try:
            root = parse_report(content)
        except UnreadableXml as error:
            self._unread.append(f"{name} {error}" if content else f"{name} is empty")
            return
        if reader := _READERS.get(root.tag):
            self._cases += reader(root)
        elif "/" not in name:
            self._unread.append(f"{name} is not a test report: its root is <{root.tag}>")
