#!/usr/bin/env bash
# Packages: cronsim 2.8, croniter 7.0.0, APScheduler 3.11.3 and tzdata 2026.6 from PyPI.
#
# Input: `30 2 * * *`, a job of each night, in Berlin, on the nights in which the clock goes forward (29 March 2026, from
# 2:00 to 3:00) and back (25 October 2026, from 3:00 to 2:00).
# Guess before the run: each runs the job once in both nights.
#
# Behaviour seen: only cronsim does. croniter and APScheduler run it twice in October, an hour apart. In March, cronsim and
# croniter run it at 3:00, and APScheduler gives 2:30 of the winter time, which is 3:30 on the clock.
#
# Output seen:
#   cronsim: March 01:00, October 00:30
#   croniter: March 01:00, October 00:30 01:30
#   APScheduler: March 01:30, October 00:30 01:30
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check --no-cache-dir install \
  cronsim==2.8 croniter==7.0.0 apscheduler==3.11.3 tzdata==2026.6 2>/dev/null
timeout 20 venv/bin/python - >seen <<'PYTHON'
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from croniter import croniter
from cronsim import CronSim

EXPRESSION = "30 2 * * *"
BERLIN = ZoneInfo("Europe/Berlin")


def triggered(begin):
    trigger = CronTrigger.from_crontab(EXPRESSION, timezone=BERLIN)
    time = None
    while True:
        time = trigger.get_next_fire_time(time, time or begin)
        yield time


def night(times, begin):
    found = []
    for time in times:
        if time.astimezone(timezone.utc) > begin.astimezone(timezone.utc) + timedelta(hours=20):
            return " ".join(f"{each.astimezone(timezone.utc):%H:%M}" for each in found)
        found.append(time)


march, october = datetime(2026, 3, 28, 12, tzinfo=BERLIN), datetime(2026, 10, 24, 12, tzinfo=BERLIN)
for name, times in (
    ("cronsim", lambda begin: CronSim(EXPRESSION, begin)),
    ("croniter", lambda begin: croniter(EXPRESSION, begin, ret_type=datetime)),
    ("APScheduler", triggered),
):
    print(f"{name}: March {night(times(march), march)}, October {night(times(october), october)}")
PYTHON
cat seen
diff seen - <<'EXPECTED'
cronsim: March 01:00, October 00:30
croniter: March 01:00, October 00:30 01:30
APScheduler: March 01:30, October 00:30 01:30
EXPECTED
