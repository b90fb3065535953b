#!/bin/bash
# Packages: jest 30.5.2 and jest-junit 17.0.0 from npm.
#
# Input: one test that passes, one `test.todo` and one `test.skip`, with the reporter jest-junit.
# Guess before the run: the todo is missing in the report, or is <skipped/> like the skipped test.
# Behavior: the todo is a testcase without any mark, exactly like a passed test, while jest itself prints "1 todo". The
# sums leave it out: tests="2" above three testcases. So a reader of the report takes what nobody has written for passed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --cache "$folder/cache" --silent --no-audit --no-fund --prefix . jest@30.5.2 jest-junit@17.0.0 >/dev/null 2>&1
cat >shop.test.js <<'JS'
test('passes', () => {});
test.todo('is not written');
test.skip('is skipped', () => {});
JS
echo '{"name": "shop", "version": "1.0.0"}' >package.json
node_modules/.bin/jest --ci --reporters=default --reporters=jest-junit 2>&1 | tee output.txt
cat junit.xml
grep -q '1 skipped, 1 todo, 1 passed, 3 total' output.txt || { echo "changed: what jest prints"; exit 1; }
[ "$(grep -c '<testcase' junit.xml)" -eq 3 ] || { echo "changed: the test cases"; exit 1; }
[ "$(grep -c '<skipped' junit.xml)" -eq 1 ] || { echo "changed: the marks"; exit 1; }
grep -A1 'name=" is not written"' junit.xml | grep -q '</testcase>' || { echo "changed: the todo"; exit 1; }
grep -q '<testsuites .*tests="2"' junit.xml || { echo "changed: the sums"; exit 1; }
echo "as described: a todo is reported as a passed test"
