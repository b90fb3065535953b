"""The version of Docker that knows the syntax which an older one refuses, by the errors of Docker 20.10 and 27."""

from __future__ import annotations

import pytest

from pipeline.engine.docker.dockerfile_versions import version_hint


@pytest.mark.parametrize(
    ("error", "what", "version"),
    [
        ("dockerfile parse error line 2: Unknown flag: parents", "COPY --parents", "29.1"),
        ("dockerfile parse error on line 2: unknown flag: --unpack", "ADD --unpack", "28.3"),
        ("dockerfile parse error line 2: Unknown flag: device", "RUN --device", "1-labs"),
        ("dockerfile parse error line 2: unexpected key 'env' in 'env=A'", "env=", "27.3"),
        ("failed to process \"${V%.*}\": missing ':' in substitution", "${NAME%…}", "26.0"),
        ("failed to process \"a${V##*/}\": missing ':' in substitution", "${NAME#…}", "26.0"),
        ("failed to process \"${V-1}\": missing ':' in substitution", "${NAME-…}", "25.0"),
        ('failed to process "${V%.*}": unsupported modifier (%) in substitution', "${NAME%…}", "26.0"),
    ],
)
def test_the_version(error: str, what: str, version: str) -> None:
    """The hint names the syntax and where it is known."""
    hint = str(version_hint(f"failed to solve: {error}"))
    assert what in hint
    assert version in hint


@pytest.mark.parametrize("error", ["Unknown flag: nonsense", "unexpected key 'evn' in 'evn=A'", "missing ':' in step"])
def test_other_mistakes(error: str) -> None:
    """No version knows them."""
    assert version_hint(error) is None
