"""The laboratory's pages in English and Korean say the same."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.lab import LAB, commands

ENGLISH, KOREAN = LAB / "README.md", LAB / "README.ko.md"


def sections(page: Path) -> list[str]:
    """Return the sections of a page, each with its heading first."""
    return re.split(r"^(?=#+ )", page.read_text(), flags=re.MULTILINE)[1:]


def structure(section: str) -> list[str]:
    """Return what a translation of a section keeps: the number in its heading, its lists and its tables."""
    kept = []
    for line in re.sub(r"```.*?```", "", section, flags=re.DOTALL).splitlines():
        if line.startswith("#"):
            kept.append(re.match(r"#+ (\d\.)?", line)[0])
        elif item := re.match(r"(- (\d\.\d:)?|\d\. )", line):
            kept.append(item[0])
        elif line.startswith("|"):
            kept.append(f"{line.count('|') - 1} columns: {re.findall(r'[0-9][0-9./%]*', line)}")
    return kept


def test_both_pages_have_the_same_sections_lists_and_tables() -> None:
    """Headings, items, questions, answers and the numbers in tables come in the same order in both languages."""
    english, korean = sections(ENGLISH), sections(KOREAN)
    assert [structure(section) for section in korean] == [structure(section) for section in english]
    assert sum(re.match(r"## \d\.", section) is not None for section in english) == 9


def test_both_pages_have_the_same_commands() -> None:
    """Each command is in both pages, in the same order."""
    assert commands(KOREAN) == commands(ENGLISH)
    assert len(commands(ENGLISH)) > 40


def test_both_pages_name_the_same_things() -> None:
    """Keys, files, programs and paths in the text of a section are the same in both languages."""
    for english, korean in zip(sections(ENGLISH), sections(KOREAN), strict=True):
        named = [set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", section)) for section in (english, korean)]
        assert named[1] == named[0], english.splitlines()[0]


def test_every_question_has_an_answer() -> None:
    """The answers are those of the questions, step by step."""
    *steps, answers = (section for section in sections(ENGLISH) if re.match(r"## (\d\.|Answers)", section))
    asked = [f"{step[3]}.{number}" for step in steps for number in re.findall(r"^(\d)\. ", step, re.MULTILINE)]
    assert re.findall(r"^- (\d\.\d):", answers, re.MULTILINE) == asked
