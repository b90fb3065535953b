#!/usr/bin/env bash
# Packages: cronsim 2.8, croniter 7.0.0 and APScheduler 3.11.3 from PyPI.
#
# Input: the expression `0 0 */2 * 1`, from Tuesday, 1 December 2026, in UTC. The day of the month and the day of the week
# are both given, the first one as a step.
# Guess before the run: all run at midnight of each second day and of each Monday, as crontab(5) says of two fields that
# are restricted; APScheduler wants both to match.
#
# Behaviour seen: three libraries, three schedules. cronsim takes a field that begins with `*` for unrestricted, as Debian's
# cron does, so both have to match: Mondays with an odd date. croniter takes either: 16 times in December. APScheduler
# wants both, and in `from_crontab` it counts the week from Monday, so 1 is a Tuesday.
#
# Output seen:
#   cronsim: Mon 7, Mon 21, Mon 11, Mon 25
#   croniter: Thu 3, Sat 5, Mon 7, Wed 9
#   APScheduler: Tue 1, Tue 15, Tue 29, Tue 5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check --no-cache-dir install \
  cronsim==2.8 croniter==7.0.0 apscheduler==3.11.3 2>/dev/null
timeout 20 venv/bin/python - >seen <<'PYTHON'
from datetime import datetime, timezone
from itertools import islice

from apscheduler.triggers.cron import CronTrigger
from croniter import croniter
from cronsim import CronSim

EXPRESSION = "0 0 */2 * 1"
BEGIN = datetime(2026, 12, 1, tzinfo=timezone.utc)


def triggered():
    trigger = CronTrigger.from_crontab(EXPRESSION, timezone=timezone.utc)
    time = None
    while True:
        time = trigger.get_next_fire_time(time, time or BEGIN)
        yield time


for name, times in (
    ("cronsim", CronSim(EXPRESSION, BEGIN)),
    ("croniter", croniter(EXPRESSION, BEGIN, ret_type=datetime)),
    ("APScheduler", triggered()),
):
    print(f"{name}:", ", ".join(f"{time:%a} {time.day}" for time in islice(times, 4)))
PYTHON
cat seen
diff seen - <<'EXPECTED'
cronsim: Mon 7, Mon 21, Mon 11, Mon 25
croniter: Thu 3, Sat 5, Mon 7, Wed 9
APScheduler: Tue 1, Tue 15, Tue 29, Tue 5
EXPECTED
