#!/bin/bash
# Packages: pytest 9.2.0 and pytest-rerunfailures 16.7 from PyPI.
#
# Input: a test that fails at its first try and passes at the second. `pytest --reruns 1 --junitxml=report.xml`.
# Guess before the run: one testcase, with a mark of the failed try; or two, of which the first has a <failure>.
# Behavior: exit code 0, and the report has two testcases of the same name, both passed, without any mark. The suite
# says tests="1". So the failed try is not to be found in the report, and a reader who counts testcases counts two tests.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --no-cache-dir --quiet --disable-pip-version-check pytest==9.2.0 pytest-rerunfailures==16.7 2>/dev/null
cat >test_flaky.py <<'PY'
from pathlib import Path


def test_flaky():
    mark = Path(__file__).with_name("tried")
    tried = mark.exists()
    mark.touch()
    assert tried
PY
venv/bin/python -m pytest -q -p no:cacheprovider --reruns 1 --junitxml=report.xml test_flaky.py
cat report.xml
echo
[ "$(grep -o '<testcase classname="test_flaky" name="test_flaky" time="[0-9.]*" */>' report.xml | wc -l)" -eq 2 ] ||
  { echo "changed: the test cases"; exit 1; }
grep -q 'errors="0" failures="0" skipped="0" tests="1"' report.xml || { echo "changed: the counts"; exit 1; }
echo "as described: two passed test cases for one test, and no failed try"
