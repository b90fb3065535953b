"""The child process that runs nft, with programs in its place that do what it may do."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from pipeline.balancer.kernel.nft import Nft, NftError
from pipeline.balancer.kernel.nft_child import HEADER, LENGTH, serve
from pipeline.base.errors import BalancerFault

_HEAD = """
import os, signal, struct, sys, time
def respond(status, text):
    os.write(1, struct.pack("!iI", status, len(text)) + text)
def request():
    return sys.stdin.buffer.read(struct.unpack("!I", sys.stdin.buffer.read(4))[0])
"""


def nft(directory: Path, program: str, timeout: float = 10) -> Nft:
    """Return a client of a program."""
    (path := directory / "program.py").write_text(_HEAD + program)
    return Nft(path, timeout)


def test_requests_and_responses(tmp_path: Path) -> None:
    """A script of a megabyte arrives whole, and so does the response. One process runs all scripts."""
    client = nft(tmp_path, 'respond(0, b"")\nwhile True: respond(0, request() + str(os.getpid()).encode())')
    script = "x" * 1_000_000
    first, second = client.run(script), client.run(script)
    assert first.startswith(script)
    assert first == second
    client.close()
    assert client.run("") != first.removeprefix(script)
    client.close()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ('respond(-1, b"libnftables.so.1: cannot open")', "its library is missing: libnftables.so.1: cannot open"),
        ("sys.exit(1)", "the process died"),
        ('respond(0, b""); request(); os.kill(os.getpid(), signal.SIGSEGV)', "killed by signal 11"),
        ('respond(0, b""); request(); respond(-1, b"Error: syntax error\\nadd\\n^^^")', "nftables: syntax error"),
        ('respond(0, b""); request(); respond(-1, b"")', "rejected without a reason"),
        ('respond(0, b""); request(); respond(-1, b"cache: Operation not permitted")', "no permission to change rules"),
    ],
)
def test_faults(tmp_path: Path, program: str, message: str) -> None:
    """Each way to fail is an error with its reason. The next script gets a new process."""
    client = nft(tmp_path, program)
    for _ in range(2):
        with pytest.raises(BalancerFault, match=message):
            client.run("add table inet x")
        client.close()


def test_missing_library_says_what_to_install(tmp_path: Path) -> None:
    """The hint names the package."""
    with pytest.raises(BalancerFault) as caught:
        nft(tmp_path, 'respond(-1, b"none")').run("")
    assert caught.value.hint is not None
    assert "apt-get install nftables" in caught.value.hint


@pytest.mark.parametrize("program", ["time.sleep(60)", 'respond(0, b""); time.sleep(60)'])
def test_hang(tmp_path: Path, program: str) -> None:
    """A process that does not respond, or does not even read a long script, is ended after the time limit."""
    with pytest.raises(BalancerFault, match=r"no response within 0\.5 s"):
        nft(tmp_path, program, 0.5).run("x" * 1_000_000)


def test_rejection_is_told_from_a_fault(tmp_path: Path) -> None:
    """A rejected script raises `NftError`, and the process serves on."""
    client = nft(tmp_path, 'respond(0, b"")\nwhile True: request(); respond(-1, str(os.getpid()).encode())')
    texts = set[str]()
    for _ in range(2):
        with pytest.raises(NftError) as caught:
            client.run("")
        texts.add(caught.value.message)
    assert len(texts) == 1
    client.close()


def test_child_serves_until_its_input_ends() -> None:
    """The child runs each script and responds with its status, and ends in the middle of a request that is cut off."""
    requests = b"".join(LENGTH.pack(len(script)) + script for script in (b"one", b"two")) + b"\0\0"
    responses = io.BytesIO()
    serve(lambda script: (len(responses.getvalue()), script * 2), io.BytesIO(requests), responses)
    assert responses.getvalue() == HEADER.pack(0, 6) + b"oneone" + HEADER.pack(14, 6) + b"twotwo"
