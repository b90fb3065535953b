"""The order of all tests, the option `--keep`, and what happens without a Docker Engine."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import settings

from pipeline.base.logging import write_through_logging
from tests.support.collected import COUNTS
from tests.support.kept import PREFIX, PROPERTY
from tests.support.measured import MEASURED, SUBPROCESSES, measured, unmeasured
from tests.support.paths import ROOT
from tests.support.ports import WORKER, WORKERS
from tests.support.sample import FULL, sampled

# The tests start more than a thousand Pythons: none should compile anew what the one before it has.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# A test that names no home must not read the one of whoever runs it.
os.environ["PENSTOCK_HOME"] = tempfile.mkdtemp(prefix="penstock-tests-")
atexit.register(shutil.rmtree, os.environ["PENSTOCK_HOME"], ignore_errors=True)
# A shell starts what it does not wait for deaf to Ctrl-C, and so would be every command that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# For the tests that set no number themselves. A deadline would measure the machine.
settings.register_profile("penstock", settings(), max_examples=sampled(100), deadline=None)
settings.load_profile("penstock")
# As in the daemon, so that `caplog` has what its modules write.
write_through_logging()

NO_ENGINE = "no Docker Engine answers"
# Measuring a process nearly doubles the time of a command, so only every twentieth test has its processes measured.
_CONFIGURATION, _SHARE = os.environ.get(SUBPROCESSES), 20


def _engine_answers() -> bool:
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 480 KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    mounted = tmp_path / "disk"
    mounted.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=480k", "none", str(mounted)], check=False)
    if done.returncode:
        pytest.skip("this machine does not allow mounts")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--keep`."""
    parser.addoption(
        "--keep", action="store_true", help="leave containers, homes and HAProxy of Docker tests, and print where"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """With `--keep`, put the tests' files into a folder that no later run of pytest removes."""
    # pytest-xdist gives each worker a folder in the one chosen here.
    if config.getoption("keep") and not hasattr(config, "workerinput"):
        config.option.basetemp = tempfile.mkdtemp(prefix=PREFIX)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let coverage measure in one worker what all of them import."""
    # Nearly all objects made here last. The garbage collector would look through them again and again.
    gc.disable()
    with unmeasured() if WORKER else nullcontext():
        result = yield
    # Nor need it look through what all tests share.
    gc.freeze()
    gc.enable()
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Count the tests before -k and -m leave some out, and put the others into the order of the workers."""
    config.stash[COUNTS] = Counter(item.nodeid.partition("::")[0] for item in items)
    config.stash[MEASURED] = measured(items)
    yield
    _arrange(config, items)


def _arrange(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests that need a Docker Engine if none answers. In CI, exit instead: a skip would hide the fault.

    pytest-xdist gives each worker an equal part of this order, and later lets idle ones take tests from the end of a
    part. Tests that need an engine mostly wait, and the others mostly compute. So a third of the workers begins with
    the others, which keeps the processors busy, and the rest with an equal share of the slow ones.
    """
    needing = [item for item in items if item.get_closest_marker("docker")]
    others = iter([item for item in items if not item.get_closest_marker("docker")])
    waiting = max(1, WORKERS * 2 // 3)
    bounds = [len(items) * worker // WORKERS for worker in range(WORKERS + 1)]
    arranged: list[pytest.Item] = []
    for worker in range(WORKERS):
        arranged += needing[worker::waiting] if worker < waiting else []
        arranged += islice(others, max(0, bounds[worker + 1] - len(arranged)))
    items[:] = [*arranged, *others]
    if not needing or config.option.collectonly or _engine_answers():
        return
    if os.environ.get("CI"):
        pytest.exit("no Docker Engine answers, and in CI its tests must run", returncode=3)
    for item in needing:
        item.add_marker(pytest.mark.skip(reason=NO_ENGINE))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let coverage measure some of the tests."""
    with nullcontext() if item.nodeid in item.config.stash[MEASURED] else unmeasured():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Choose whether the processes that a test starts are measured: always those of the same tests."""
    if _CONFIGURATION and (FULL or zlib.crc32(item.nodeid.encode()) % _SHARE == 0):
        os.environ[SUBPROCESSES] = _CONFIGURATION
    else:
        os.environ.pop(SUBPROCESSES, None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print how many tests were skipped for want of Docker, and how to look at what `--keep` left."""
    skipped = sum(NO_ENGINE in str(report.longrepr) for report in terminalreporter.getreports("skipped"))
    if skipped:
        terminalreporter.write_line(f"Docker tests skipped: {skipped} ({NO_ENGINE})", yellow=True)
    if config.getoption("keep"):
        _print_kept(terminalreporter, config.option.basetemp)


def _print_kept(terminalreporter: pytest.TerminalReporter, folder: str) -> None:
    # The reports of a test's end have no category unless they failed.
    ends = [*terminalreporter.getreports(""), *terminalreporter.getreports("error")]
    kept = [(end.nodeid, text) for end in ends for name, text in end.user_properties if name == PROPERTY]
    for nodeid, text in kept:
        terminalreporter.section(f"kept: {nodeid}")
        terminalreporter.write_line(str(text))
    if kept:
        terminalreporter.section("remove it all")
        terminalreporter.write_line(f"{sys.executable} -m tests.docker.remains {folder}")
    else:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def base_image() -> str:
    """The base image of the sample application, as the set-up chose it."""
    chosen = ROOT / ".setup" / "base-image"
    return os.environ.get("PENSTOCK_BASE_IMAGE") or (chosen.read_text() if chosen.exists() else "python:3.12-slim")
