"""Commands to a stack that are killed at each of their side effects: how each is prepared, and what it leads to."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.stacks.status import StackStatus
from tests.docker.crash_stage import Point
from tests.docker.stack_crash_stage import StackStage

_S = StackStatus
_WHOLE = {_S.CREATE_COMPLETE, _S.UPDATE_COMPLETE, _S.UPDATE_ROLLBACK_COMPLETE}
# The priority of another rule, so the last resource of the update fails.
_TAKEN = 1


def _exist(stage: StackStage) -> None:
    if stage.stack() is None:
        assert stage.run(*stage.arguments("create")).code == 0


def _be_gone(stage: StackStage) -> None:
    if stage.stack() is not None:
        assert stage.run(*stage.arguments("delete")).code == 0


def _differ(stage: StackStage) -> None:
    _exist(stage)
    stage.version += 1


@dataclass(frozen=True)
class StackOperation:
    """A command. `prepare` brings about the state before it.

    `ends` are the states of the stack after it, None if it is gone. `code` is its exit code.
    """

    prepare: Callable[[StackStage], None]
    command: Callable[[StackStage], tuple[str, ...]]
    ends: frozenset[StackStatus | None]
    code: int = 0


STACK_OPERATIONS = {
    "stack-create": StackOperation(_be_gone, lambda stage: stage.arguments("create"), frozenset({_S.CREATE_COMPLETE})),
    "stack-update": StackOperation(_differ, lambda stage: stage.arguments("update"), frozenset({_S.UPDATE_COMPLETE})),
    "stack-rollback": StackOperation(
        _differ,
        lambda stage: stage.arguments("update", LastPriority=_TAKEN),
        frozenset({_S.UPDATE_ROLLBACK_COMPLETE}),
        code=4,
    ),
    "stack-delete": StackOperation(_exist, lambda stage: stage.arguments("delete"), frozenset({None})),
}


class StackTrial:
    """Kills one operation's command at points, one after the other, in one home."""

    def __init__(self, stage: StackStage, operation: StackOperation) -> None:
        self._stage = stage
        self._operation = operation

    def side_effects(self) -> list[str]:
        """Run the command to its end and return its side effects."""
        self._operation.prepare(self._stage)
        result = self._stage.run(*self._operation.command(self._stage))
        found = self._stage.side_effects()
        assert result.code == self._operation.code, result
        self._assert_ended()
        return found

    def kill(self, point: Point) -> bool:
        """Kill the command at a point, let the next one go on, and repeat it if it had not begun.

        Return whether the point was reached. Raises `AssertionError` if something is left over or missing, or the state
        is not that of the command.
        """
        stage, operation = self._stage, self._operation
        operation.prepare(stage)
        before, command = _status(stage), operation.command(stage)
        killed = stage.run(*command, point=point)
        assert killed.code in (-signal.SIGKILL, operation.code), killed
        recovered = stage.run("stack", "recover")
        assert recovered.code == 0, recovered
        stage.assert_whole()
        if _status(stage) not in operation.ends:
            assert _status(stage) == before, recovered
            again = stage.run(*command)
            assert again.code == operation.code, again
        self._assert_ended()
        return killed.code == -signal.SIGKILL

    def _assert_ended(self) -> None:
        self._stage.assert_whole()
        assert _status(self._stage) in self._operation.ends


def _status(stage: StackStage) -> StackStatus | None:
    stack = stage.stack()
    return stack.status if stack else None
