"""The XML of test reports. It comes from the user's container and is not trusted."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

_MAX_DEPTH = 100
_MAX_ELEMENTS = 500_000
_ELEMENTS = {
    *("testsuites", "testsuite", "testcase", "failure", "error", "skipped", "property"),
    *("UnitTestResult", "UnitTest", "TestMethod", "ResultSummary", "test-suite", "test-case", "test", "errors"),
}
# Long values, such as the message of a failure, are not kept.
_ATTRIBUTES = {
    *("name", "classname", "type", "status", "result", "failures", "errors", "fullname", "executed", "success"),
    *("className", "outcome", "testName", "testId", "id"),
}
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_REFERENCE = re.compile(rb"&#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}));")


class UnreadableXml(ValueError):
    """The content is not valid XML, or not XML that a test runner writes."""


def parse_report(content: bytes) -> Element:
    """Return the elements and attributes of a report that matter, without namespaces. Raises `UnreadableXml`.

    Control characters are not allowed in XML, but test runners copy them from what the tests print.
    """
    try:
        return _parse(content)
    except expat.ExpatError as error:
        cleaned = _CONTROL.sub(b"?", _REFERENCE.sub(_replace_reference, content))
        is_wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        if cleaned == content or is_wide:
            raise UnreadableXml(f"is not XML: {error}") from None
    try:
        return _parse(cleaned)
    except expat.ExpatError as error:
        raise UnreadableXml(f"is not XML: {error}") from None


def _parse(content: bytes) -> Element:
    parser, builder = expat.ParserCreate(namespace_separator="}"), TreeBuilder()
    depth = kept = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, kept
        depth += 1
        if depth > _MAX_DEPTH:
            raise UnreadableXml(f"has elements that are nested more than {_MAX_DEPTH} deep")
        name = tag.rpartition("}")[2]
        if depth == 1 or name in _ELEMENTS:
            kept += 1
            if kept > _MAX_ELEMENTS:
                raise UnreadableXml(f"has more than {_MAX_ELEMENTS} tests and suites")
            builder.start(name, {key: value for key, value in attributes.items() if key in _ATTRIBUTES})

    def end(tag: str) -> None:
        nonlocal depth
        name = tag.rpartition("}")[2]
        if depth == 1 or name in _ELEMENTS:
            builder.end(name)
        depth -= 1

    def refuse_entity(*_: object) -> None:
        # Entities can expand to gigabytes.
        raise UnreadableXml("declares entities, which no report needs")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.EntityDeclHandler = refuse_entity
    try:
        parser.Parse(content, True)
    except (ValueError, LookupError) as error:
        # The encoding is unknown.
        raise error if isinstance(error, UnreadableXml) else UnreadableXml(f"is not XML: {error}") from None
    return builder.close()


def _replace_reference(match: re.Match[bytes]) -> bytes:
    code = int(match[1], 16) if match[1] else int(match[2])
    allowed = code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF
    return match[0] if allowed else b"?"
