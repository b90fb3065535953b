#!/bin/bash
# Package: watchdog 7.1.0 from PyPI, on Linux.
#
# Input: one observer with two handlers for the same folder. The first handler is scheduled with the `event_filter` of
# deleted files, and the second with that of created files. Then a file is created and deleted.
# Guess before the run: each handler gets its own event.
# Behavior: the first handler gets nothing, and no error is raised. Alone, it gets its event. Both watches share one
# inotify instance since version 7, and the kernel replaces the mask of a folder that is added again. So of several
# watches of a folder only the last one's filter counts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --no-cache-dir --quiet --disable-pip-version-check watchdog==7.1.0 2>/dev/null
cat >watch.py <<'PY'
import queue
import tempfile
from pathlib import Path

from watchdog.events import FileCreatedEvent, FileDeletedEvent, FileSystemEventHandler
from watchdog.observers import Observer


class Handler(FileSystemEventHandler):
    def __init__(self):
        self.events = queue.Queue()

    def on_any_event(self, event):
        self.events.put(type(event).__name__)

    def first(self):
        try:
            return self.events.get(timeout=3)
        except queue.Empty:
            return "nothing"


for filters in ([FileDeletedEvent],), ([FileDeletedEvent], [FileCreatedEvent]):
    folder, observer = Path(tempfile.mkdtemp(dir=".")), Observer()
    handlers = [Handler() for _ in filters]
    for handler, chosen in zip(handlers, filters):
        observer.schedule(handler, str(folder), event_filter=chosen)
    observer.start()
    (folder / "file").touch()
    (folder / "file").unlink()
    print(len(filters), *(handler.first() for handler in handlers))
    observer.stop()
    observer.join()
PY
output=$(venv/bin/python watch.py)
echo "$output"
[ "$output" = "1 FileDeletedEvent
2 nothing FileCreatedEvent" ] || { echo "changed: the events of two watches"; exit 1; }
echo "as described: the second watch of a folder takes the events of the first one"
