"""JUnit XML out of a container that nobody trusts."""

from __future__ import annotations

import io
import tarfile

import pytest

from stages.build.junit import NotJUnit, read_reports

REPORT = b"""<?xml version="1.0"?>
<testsuites><testsuite tests="4">
  <testcase classname="basket.TotalTest" name="adds"/>
  <testcase classname="basket.TotalTest" name="rounds"><failure message="0.1"/></testcase>
  <testcase name="imports"><error/></testcase>
  <testcase name="later"><skipped/></testcase>
</testsuite></testsuites>"""


def archive(**files: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def test_counts_and_names() -> None:
    """Failures and errors alike are failed tests."""
    report = read_reports(archive(**{"reports/a.xml": REPORT, "reports/notes.txt": b"no XML"}))
    assert str(report) == "4 tests, 2 failed, 1 skipped"
    assert report.failed == ("basket.TotalTest.rounds", "imports")


def test_several_files() -> None:
    """One for each module, as some runners write them."""
    assert read_reports(archive(**{"a.xml": REPORT, "b.xml": REPORT})).tests == 8


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "a.xml is not XML: no element found"),
        (b"<testsuite>", "a.xml is not XML: no element found"),
        (b"\xff\xfe\x00", "a.xml is not XML"),
        (
            b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite>&b;</testsuite>',
            "a.xml holds a document type, which no report needs",
        ),
    ],
)
def test_what_is_no_report(content: bytes, reason: str) -> None:
    """It is said in a word, and never expanded."""
    with pytest.raises(NotJUnit, match=reason):
        read_reports(archive(**{"a.xml": content}))


def test_what_is_no_archive() -> None:
    """Also the tar comes from the container."""
    with pytest.raises(NotJUnit, match="the reports are no readable archive"):
        read_reports(b"x" * 2000)
