#!/usr/bin/env bash
# Packages: jest 30.5.2, jest-junit 17.0.0 and mocha 12.0.3 from npm.
#
# Input: one test that passes, in a group whose hook after all tests fails. jest with the reporter jest-junit, and mocha
# with its own reporter `xunit`.
# Guess before the run: the sums agree with the elements, as one failed test of two, or one failure of one test.
#
# Behaviour seen: both exit with 1 and write the hook as a <testcase> with a <failure>. The sums of jest-junit have one
# test and no failure. Those of mocha have one error, no failure, and -1 skipped tests, because the number of skipped
# tests is what is left of the tests. So a reader that trusts the sums passes this build, or refuses the report.
#
# Output seen:
#   jest: exit code 1, <failure> 1, tests="1" failures="0" errors="0"
#   mocha: exit code 1, <failure> 1, tests="1" failures="0" errors="1" skipped="-1"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --cache "$folder/cache" --silent --no-audit --no-fund --prefix . \
  jest@30.5.2 jest-junit@17.0.0 mocha@12.0.3 >/dev/null 2>&1
cat >shop.test.js <<'JS'
describe('basket', () => {
  (globalThis.after ?? globalThis.afterAll)(() => { throw new Error('the database is still open'); });
  (globalThis.it)('adds', () => {});
});
JS
echo '{"name": "shop", "version": "1.0.0"}' >package.json
sums() {
  code=$1
  marks=$(grep -c '<failure' "$2" || true)
  echo "exit code $code, <failure> $marks, $(grep -oE '<testsuites? .*' "$2" | head -n 1 |
    grep -oE ' (tests|failures|errors|skipped)="-?[0-9]+"' | tr -d '\n' | sed 's/^ //')"
}
code=0
timeout 40 node_modules/.bin/jest --ci --reporters=jest-junit >/dev/null 2>&1 || code=$?
echo "jest: $(sums $code junit.xml)" >seen
code=0
timeout 20 node_modules/.bin/mocha --reporter xunit shop.test.js >mocha.xml 2>/dev/null || code=$?
echo "mocha: $(sums $code mocha.xml)" >>seen
cat seen
diff seen - <<'EXPECTED'
jest: exit code 1, <failure> 1, tests="1" failures="0" errors="0"
mocha: exit code 1, <failure> 1, tests="1" failures="0" errors="1" skipped="-1"
EXPECTED
