"""Report files out of a container that nobody trusts."""

from __future__ import annotations

import io
import tarfile

import pytest

from stages.build import report_files
from stages.build.report import TestReport
from stages.build.report_files import ReportFiles

REPORT = b"""<?xml version="1.0"?>
<testsuites><testsuite tests="4">
  <testcase classname="basket.TotalTest" name="adds"/>
  <testcase classname="basket.TotalTest" name="rounds"><failure message="0.1"/></testcase>
  <testcase name="imports"><error/></testcase>
  <testcase name="later"><skipped/></testcase>
</testsuite></testsuites>"""


def archive(files: dict[str, bytes]) -> bytes:
    """Return a tar of the files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def read(files: dict[str, bytes]) -> TestReport | None:
    """Return what is read of the files, of which the tests wrote all."""
    return ReportFiles(lambda _: True).read(iter([archive(files)]))


def test_counts_and_names() -> None:
    """Failures and errors alike are failed tests. A file that is not a report is left alone."""
    report = read({"reports/a.xml": REPORT, "reports/notes.txt": b"no XML", "reports/coverage.xml": b"<coverage/>"})
    assert str(report) == "4 tests, 2 failed, 1 skipped"
    assert report is not None
    assert report.failed == ("basket.TotalTest.rounds", "imports")


def test_several_files() -> None:
    """Files in folders count, with any case of their suffix. A single file may have any name."""
    report = read({"r/a.xml": REPORT, "r/deep/b.XML": REPORT, "r/c.trx": b"<TestRun/>", "r/d.bak": REPORT})
    assert str(report) == "8 tests, 4 failed, 2 skipped"
    assert str(read({"junit": REPORT})) == "4 tests, 2 failed, 1 skipped"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (REPORT[:200], "is not XML: "),
        (b"\xff\xfe\x00", "is not XML: "),
        (b"<?xml version='1.0' encoding='ebcdic-x'?><testsuite/>", "is not XML: unknown encoding"),
        (
            b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite>&b;</testsuite>',
            "declares entities, which no report needs",
        ),
        (b"<testsuite>" + b"<testcase/>" * 500_000 + b"</testsuite>", "has more than 500000 tests and suites"),
        (b"<testsuite>" * 101 + b"</testsuite>" * 101, "has elements that are nested more than 100 deep"),
    ],
)
def test_an_unreadable_file(content: bytes, reason: str) -> None:
    """An unreadable file is named with its reason, and the others count."""
    report = read({"r/bad.xml": content, "r/good.xml": REPORT})
    assert report is not None
    assert report.failed == ("basket.TotalTest.rounds", "imports")
    (unread,) = report.unread
    assert unread.startswith(f"r/bad.xml {reason}")
    assert str(report) == "4 tests, 2 failed, 1 skipped, not all reports were read"


@pytest.mark.parametrize(
    "content",
    [
        REPORT.replace(b"0.1", b"\x1b[31m0.1&#27;&#0;"),
        REPORT.replace(b"<error/>", b"<error><![CDATA[<!DOCTYPE html><!ENTITY a 'b'>]]></error>"),
        REPORT.replace(b"<testsuites>", b"<testsuites xmlns='urn:shop'>"),
        REPORT.replace(b"<testsuites>", b"<!DOCTYPE testsuites SYSTEM 'junit.dtd'><testsuites>"),
        REPORT.decode().encode("utf-16"),
        b"\xef\xbb\xbf" + REPORT,
        b"\xef\xbb\xbf" + REPORT.replace(b"0.1", b"\x00"),
        REPORT.replace(b"0.1", b"\xff\xfe \xc3"),
        REPORT.replace(b"0.1", b"\xef\xbf\xbe \xef\xbf\xbf"),
        REPORT.replace(b"0.1", b"\xed\xa0\x80"),
        REPORT.replace(b"0.1", b"&#xD800;&#xFFFE;&#55296;&#x1234567890;"),
        REPORT.replace(b"0.1", b"\x00").decode().encode("utf-16"),
        b"\xff\xfe"
        + REPORT.replace(b"0.1", b"\xd8").decode("latin-1").encode("utf-16-le").replace(b"\xd8\0", b"\0\xd8"),
        REPORT.replace(b"0.1", b"\xe4\x1b").replace(b"?>", b" encoding='ISO-8859-1'?>"),
        REPORT.replace(b"?>", b" encoding='utf-16'?>"),
    ],
    ids=[
        *("control characters", "CDATA", "namespace", "document type", "UTF-16", "byte-order mark", "after the mark"),
        *("not UTF-8", "no characters", "surrogate in UTF-8", "references", "control in UTF-16", "lone surrogate"),
        *("control in Latin-1", "wrong encoding"),
    ],
)
def test_unusual_xml(content: bytes) -> None:
    """What test runners write in good faith is read."""
    report = read({"a.xml": content})
    assert report is not None
    assert (report.failed, report.unread) == (("basket.TotalTest.rounds", "imports"), ())


def test_names_are_printable() -> None:
    """A name cannot forge a line or an escape sequence, and has an end."""
    name = f"a&#10;b\u009b\u202e{'x' * 300}"
    report = read({"a.xml": f"<testsuite><testcase name='{name}'><error/></testcase></testsuite>".encode()})
    assert report is not None
    assert report.failed == (f"a b {'x' * 195}…",)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond the limits is counted, and the limits are named."""
    monkeypatch.setattr(report_files, "FILES_LIMIT", 2)
    report = read({f"r/{n}.xml": REPORT for n in range(5)})
    assert report is not None
    assert report.tests == 8
    assert report.unread == ("3 more report files not read: at most 2 files, 64MiB and 500000 tests are read",)
    monkeypatch.setattr(report_files, "SIZE_LIMIT", len(REPORT))
    report = read({"r/1.xml": REPORT, "r/2.xml": REPORT})
    assert report is not None
    assert report.tests == 4


def test_files_that_came_with_the_image() -> None:
    """Only files that the tests wrote count."""
    files = archive({"r/old.xml": REPORT, "r/new.xml": b"<testsuite><testcase name='a'/></testsuite>"})
    report = ReportFiles(lambda member: member.name == "r/new.xml").read(iter([files]))
    assert report == TestReport(tests=1, skipped=0, failed=(), brought=1)


def test_no_report() -> None:
    """Nothing at the path is not a report. A link is named with its target."""
    assert ReportFiles(lambda _: True).read(iter([])) is None
    assert read({"r/notes.txt": b""}) is None
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        link = tarfile.TarInfo("junit.xml")
        link.type, link.linkname = tarfile.SYMTYPE, "/srv/junit.xml"
        tar.addfile(link)
    report = ReportFiles(lambda _: True).read(iter([content.getvalue()]))
    assert report is not None
    assert report.unread == ("junit.xml is a link to /srv/junit.xml: name that path",)


def test_what_is_no_archive() -> None:
    """Also the tar comes from the container."""
    report = ReportFiles(lambda _: True).read(iter([b"x" * 2000]))
    assert report is not None
    assert report.unread[0].startswith("the reports are not a readable archive")


def test_the_root_of_another_file() -> None:
    """A file that the configuration names is a report, or it is said."""
    report = read({"coverage.xml": b"<coverage/>"})
    assert report is not None
    assert report.unread == ("coverage.xml is not a test report: its root is <coverage>",)
