"""Commands that are killed at each of their side effects: how each is prepared, and what it leads to."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.testing.load.load import Load
from tests.docker.crash_stage import Point, Stage

_RULE = "{{priority: 10, conditions: [{{path_pattern: /v{}/*}}], actions: [{{forward: web}}]}}"


def _nothing(_: Stage) -> None: ...


@dataclass(frozen=True)
class Operation:
    """A command. `prepare` brings about the state before it, and `check` asserts the state after it.

    `code` is its exit code. `refusal` is the error of the same command after it, if it is refused then. `loaded`: the
    service is under load meanwhile, and no request may fail.
    """

    command: Callable[[Stage], tuple[str, ...]]
    prepare: Callable[[Stage], None]
    check: Callable[[Stage], None] = _nothing
    code: int = 0
    refusal: str | None = None
    loaded: bool = True


def _serve(stage: Stage) -> None:
    """Put a first release into service if there is none."""
    if stage.active() is None:
        assert stage.run("run").code == 0


def _commit(stage: Stage) -> None:
    _serve(stage)
    stage.commit()


def _break(stage: Stage) -> None:
    _serve(stage)
    stage.declare_timeout("2s")
    stage.commit("-broken")


def _change(stage: Stage) -> None:
    _serve(stage)
    stage.commit()
    stage.declare(_RULE.format(stage.version))


def _commit_canary(stage: Stage) -> None:
    _serve(stage)
    stage.declare_strategy("{type: canary, percent: 20, bake_time: 1s}")
    stage.commit()


def _break_canary(stage: Stage) -> None:
    _break(stage)
    stage.declare_strategy("{type: canary, percent: 20, bake_time: 1s}")


def _commit_both(stage: Stage) -> None:
    if not stage.project.workers:
        stage.add_worker()
    _commit(stage)


def _break_worker(stage: Stage) -> None:
    _commit_both(stage)
    stage.commit("-bad")


def _serve_two_of_both(stage: Stage) -> None:
    if not stage.project.workers:
        stage.add_worker()
    _serve_two(stage)


def _serve_two(stage: Stage) -> None:
    _serve(stage)
    if len(stage.served()) < 2:
        stage.commit()
        assert stage.run("run").code == 0


def _renew(stage: Stage) -> None:
    _serve(stage)
    stage.renew()


def _renew_large(stage: Stage) -> None:
    _serve(stage)
    stage.renew_large()


def _take_down(stage: Stage) -> None:
    if stage.active() is not None:
        assert stage.run("down").code == 0


def _always(*words: str) -> Callable[[Stage], tuple[str, ...]]:
    return lambda _: words


def _is_shown(stage: Stage) -> None:
    assert stage.shown() == stage.name


def _is_gone(stage: Stage) -> None:
    assert stage.active() is None


def _is_latest(stage: Stage) -> None:
    assert stage.active() is not None
    assert stage.deployed() == stage.head()


OPERATIONS = {
    "rollout": Operation(_always("run"), _commit, _is_latest),
    "change": Operation(_always("run"), _change, _is_latest),
    "canary": Operation(_always("run"), _commit_canary, _is_latest),
    "canary-failure": Operation(_always("run"), _break_canary, code=4),
    "failure": Operation(_always("run"), _break, code=4),
    "rollback": Operation(lambda stage: ("rollback", str(stage.retired())), _serve_two, refusal="is already active"),
    "services": Operation(_always("run"), _commit_both, _is_latest),
    "services-failure": Operation(_always("run"), _break_worker, code=4),
    "services-rollback": Operation(
        lambda stage: ("rollback", str(stage.retired())), _serve_two_of_both, refusal="is already active"
    ),
    "renewal": Operation(_always("recover"), _renew, _is_shown),
    "large-renewal": Operation(_always("recover"), _renew_large, _is_shown),
    "down": Operation(_always("down"), _serve, _is_gone, loaded=False),
    "first": Operation(_always("run"), _take_down, _is_latest, loaded=False),
}


class Trial:
    """Kills one operation's command at points, one after the other, in one service."""

    def __init__(self, stage: Stage, operation: Operation) -> None:
        self._stage = stage
        self._operation = operation

    def side_effects(self) -> list[str]:
        """Run the command to its end and return its side effects."""
        self._operation.prepare(self._stage)
        result = self._stage.run(*self._operation.command(self._stage))
        found = self._stage.side_effects()
        assert result.code == self._operation.code, result
        self._stage.assert_whole()
        return found

    def kill(self, point: Point) -> bool:
        """Kill the command at a point and repeat it. Return whether the point was reached.

        The command that comes next and recovers is `pipeline recover` or the same command, by turns.
        Raises `AssertionError` if a request fails, something is left over, or the state is not that of the command.
        """
        stage, operation = self._stage, self._operation
        operation.prepare(stage)
        command = operation.command(stage)
        if not operation.loaded:
            return self._kill(point, command)
        with stage.project.load() as load:
            reached = self._kill(point, command)
            _assert_none_failed(load)
        return reached

    def _kill(self, point: Point, command: tuple[str, ...]) -> bool:
        stage, operation = self._stage, self._operation
        killed = stage.run(*command, point=point)
        assert killed.code in (-signal.SIGKILL, operation.code), killed
        if point.when == "before":
            recovered = stage.run("recover")
            assert recovered.code == 0, recovered
            stage.assert_whole()
        again = stage.run(*command)
        is_refused = operation.refusal is not None and operation.refusal in f"{again}"
        assert again.code in {operation.code, 0} or is_refused, again
        stage.assert_whole()
        operation.check(stage)
        return killed.code == -signal.SIGKILL


def _assert_none_failed(load: Load) -> None:
    report = load.stop()
    assert report.failed == 0, report.failures
