"""The daemon needs no rich for its log, and no detection of encodings for Docker."""

from __future__ import annotations

import subprocess
import sys

IMPORT = "import sys; from pipeline.base.import_without import import_without as f; "


def printed(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", IMPORT + script], capture_output=True, text=True, check=True)
    assert "Warning" not in done.stderr
    return done.stdout


def test_structlog_without_rich() -> None:
    """structlog works, rich is not loaded with it, and can be imported afterwards."""
    found = printed(
        "f('structlog', 'rich'); import structlog; print('rich' in sys.modules, 'pygments' in sys.modules);"
        "import rich; f('structlog', 'rich'); print(sys.modules['rich'] is rich);"
        "structlog.get_logger().info('works')"
    )
    assert found.startswith("False False\nTrue\n")
    assert "works" in found


def test_requests_without_detection() -> None:
    """requests reads text without a declared encoding as UTF-8, and warns of nothing."""
    found = printed(
        "f('requests', 'chardet', 'charset_normalizer'); import requests; print('charset_normalizer' in sys.modules);"
        "r = requests.Response(); r._content = 'Größe'.encode(); print(r.text == 'Größe')"
    )
    assert found == "False\nTrue\n"
