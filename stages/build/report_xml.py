"""The XML of test reports. It comes from the user's container and is not trusted."""

from __future__ import annotations

import codecs
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
_FORBIDDEN = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile(r"&#(?:x([0-9a-fA-F]{1,20})|([0-9]{1,20}));")
# Of one byte a character. The declaration of others is often wrong, such as UTF-16 of a file in UTF-8.
_ENCODING = re.compile(rb"""\s*<\?xml[^>]*?encoding=["'](iso-8859-\d+|windows-\d+|koi8-r)["']""", re.IGNORECASE)
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class UnreadableXml(ValueError):
    """The content is not valid XML, or not XML that a test runner writes."""


def parse_report(content: bytes) -> Element:
    """Return the elements and attributes of a report that matter, without namespaces. Raises `UnreadableXml`.

    XML allows no control characters, surrogates and bytes of another encoding, but test runners copy them from what the
    tests print. They are replaced.
    """
    try:
        return _parse(content)
    except expat.ExpatError:
        pass
    try:
        return _parse(_FORBIDDEN.sub("?", _REFERENCE.sub(_replace_reference, _decode(content))))
    except expat.ExpatError as error:
        raise UnreadableXml(f"is not XML: {error}") from None


def _decode(content: bytes) -> str:
    if content.startswith(_WIDE):
        return content.decode("utf-16", errors="replace")
    declared = _ENCODING.match(content)
    try:
        return content.decode(declared[1].decode() if declared else "utf-8-sig", errors="replace")
    except LookupError:
        return content.decode("utf-8-sig", errors="replace")


def _parse(content: bytes | str) -> Element:
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
            builder.start(name, {key: value for key, value in attributes.items() if _matters(name, key)})

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


def _matters(element: str, attribute: str) -> bool:
    return attribute in _ATTRIBUTES or (element, attribute) == ("skipped", "message")


def _replace_reference(match: re.Match[str]) -> str:
    code = int(match[1], 16) if match[1] else int(match[2])
    allowed = code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF
    return match[0] if allowed else "?"
