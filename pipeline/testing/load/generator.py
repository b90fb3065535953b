"""The process of the load generator: `python -m pipeline.testing.load.generator PROFILE`, with commands on stdin."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from itertools import count

from pipeline.testing.load.client import Connection, RequestFailed
from pipeline.testing.load.profile import LoadProfile
from pipeline.testing.load.report import LoadPhase, Recorder


class Generator:
    """Sends requests at a fixed rate, each when it is due, even if others have no response yet.

    A closed loop would wait for each response before the next request, and so would not see a gap.
    """

    def __init__(self, profile: LoadProfile) -> None:
        self._profile = profile
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self.recorder = Recorder(self._loop.time())

    async def run(self) -> None:
        """Send until `stop`, then wait for the responses."""
        begin = self._loop.time()
        for number in count():
            due = begin + number / self._profile.rate
            if (ahead := due - self._loop.time()) > 0:
                await asyncio.sleep(ahead)
            if self._stopped:
                break
            self.recorder.late = max(self.recorder.late, self._loop.time() - due)
            task = self._loop.create_task(self._request(number, due))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await asyncio.gather(*self._tasks)

    def stop(self) -> None:
        """Stop sending."""
        self._stopped = True

    def now(self) -> float:
        """Return the time of the clock that all measurements use."""
        return self._loop.time()

    async def _request(self, number: int, due: float) -> None:
        method = "POST" if self._profile.is_post(number) else "GET"
        phase = self.recorder.sent()
        try:
            async with asyncio.timeout(self._profile.timeout):
                await self._exchange(number, phase, due)
        except RequestFailed as error:
            self.recorder.failed(phase, self._loop.time(), method, str(error))
        except TimeoutError:
            reason = f"no response within {self._profile.timeout:g} s"
            self.recorder.failed(phase, self._loop.time(), method, reason)

    async def _exchange(self, number: int, phase: LoadPhase, due: float) -> None:
        fresh = self._profile.is_fresh(number)
        connection = await self._connection(fresh)
        reusable = False
        try:
            response = await connection.ask(self._profile.request(number))
            if response.status != 200:
                raise RequestFailed(f"status {response.status}")
            if self._profile.is_post(number) and response.body != self._profile.body(number):
                raise RequestFailed(f"the body differs from the one that was sent: {response.body[:40]!r}")
            reusable = response.reusable and not fresh
            self.recorder.succeeded(phase, due, self._loop.time(), response.version)
        finally:
            # Without a limit on their number: after a pause, opening new connections would make the generator late.
            if reusable:
                self._idle.append(connection)
            else:
                connection.close()

    async def _connection(self, fresh: bool) -> Connection:
        # A connection that the server closed while it was idle is not a failure. Every client discards it.
        while self._idle and not fresh:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return await Connection.open(self._profile.host, self._profile.port)


async def serve(profile: LoadProfile) -> None:
    """Generate until the command `stop`, or until the parent process exits."""
    generator = Generator(profile)
    running = asyncio.create_task(generator.run())
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    commands: dict[str, Callable[[str], None]] = {
        "mark": generator.recorder.mark,
        "report": lambda _: None,
        "stop": lambda _: generator.stop(),
    }
    while line := await reader.readline():
        command, _, argument = line.decode().strip().partition(" ")
        commands[command](argument)
        if command == "stop":
            await running
        sys.stdout.write(json.dumps(generator.recorder.report(generator.now()).as_data()) + "\n")
        sys.stdout.flush()
        if command == "stop":
            return
    running.cancel()


if __name__ == "__main__":
    asyncio.run(serve(LoadProfile(**json.loads(sys.argv[1]))))
