"""A builder in memory, whose builds succeed unless a fault is injected."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from datetime import timedelta

from pipeline.base.errors import Cancelled
from pipeline.engine.builder import BuildSpec
from pipeline.testing.fakes.faults import Faults
from pipeline.testing.fakes.images import FakeImages

_POLL_INTERVAL = 0.01


class FakeBuilder:
    """The builder of a fake engine. It adds an image whose id depends on the specification and the context."""

    description = "a fake builder"
    skips_unused_stages = True
    knows_own_ignore = True

    def __init__(self, images: FakeImages, faults: Faults) -> None:
        self._images = images
        self._faults = faults
        self.output: tuple[str, ...] = ("#1 [1/1] FROM scratch",)
        """The lines that each build prints."""
        self._uncached = 0
        self.refusal: Exception | None = None
        """What `check` raises."""

    def check(self, spec: BuildSpec) -> None:
        """Raise `refusal` if it is set."""
        if self.refusal is not None:
            raise self.refusal

    def build(
        self, spec: BuildSpec, on_output: Callable[[str], None], cancelled: threading.Event, timeout: timedelta
    ) -> str:
        """Add the image and return its id."""
        self.check(spec)
        connection = self._faults.of_connection()
        result: Future[str] = Future()
        threading.Thread(target=self._run, args=(spec, on_output, connection, result), daemon=True).start()
        waited = timedelta(0)
        try:
            while not wait([result], timeout=_POLL_INTERVAL).done:
                if cancelled.is_set():
                    raise Cancelled("cancelled")
                waited += timedelta(seconds=_POLL_INTERVAL)
                if waited > timeout:
                    raise TimeoutError
            return result.result()
        finally:
            connection.go_away()

    def _run(self, spec: BuildSpec, on_output: Callable[[str], None], faults: Faults, result: Future[str]) -> None:
        try:
            for line in self.output:
                on_output(line)
            with faults.call("builder.build"):
                files = sorted((str(p), p.read_bytes()) for p in spec.context.rglob("*") if p.is_file())
                self._uncached += spec.no_cache
                steps = self._uncached if spec.no_cache else 0
                content = repr((files, spec.dockerfile, sorted(spec.args.items()), sorted(spec.labels.items()), steps))
                result.set_result(self._images.add_built(content.encode(), spec.tag, spec.labels))
        except BaseException as error:  # noqa: BLE001  # `build` raises it
            result.set_exception(error)
