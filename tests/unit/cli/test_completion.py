"""`pipeline completion`: each shell's script, and what it asks the program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.command_line import pipeline


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_the_program(shell: str) -> None:
    """The script registers a function that calls `pipeline` with the shell's own request."""
    script = pipeline("completion", shell).stdout
    assert f"_PIPELINE_COMPLETE={shell}_complete" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_a_command() -> None:
    """bash accepts the script, and the program completes the begin of a command."""
    script = pipeline("completion", "bash").stdout
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    variables = {"_PIPELINE_COMPLETE": "bash_complete", "COMP_WORDS": "pipeline rol", "COMP_CWORD": "1"}
    program = "import sys; sys.argv[0] = 'pipeline'; from pipeline.cli.main import main; main()"
    environment = {**os.environ, **variables}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "plain,rollback\n"
