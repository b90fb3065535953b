"""The daemon's log needs no rich."""

from __future__ import annotations

import subprocess
import sys


def test_structlog_without_rich() -> None:
    """structlog works, rich is not loaded with it, and can be imported afterwards."""
    script = (
        "import sys; from pipeline.base.plain_structlog import import_plain_structlog as f; f();"
        "import structlog; print('rich' in sys.modules, 'pygments' in sys.modules);"
        "import rich; f(); print(sys.modules['rich'] is rich); structlog.get_logger().info('works')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False False\nTrue\n")
    assert "works" in done.stdout
