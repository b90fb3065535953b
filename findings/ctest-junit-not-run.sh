#!/usr/bin/env bash
# Package: cmake 3.25.1-1 (Debian 12), of which CTest runs.
#
# Input: two registered tests, one that passes and one whose program is missing; then a test whose fixture fails.
# `ctest --output-junit` writes the report.
# Guess before the run: what CTest counts as failed has a <failure>, and `failures` counts it.
#
# Behaviour seen: CTest lists the test without a program and the test without its fixture among those that FAILED, and
# exits with 8. The report has both as <skipped/>, with `status="notrun"`, like a test that skips itself. If a program is
# missing, `failures` is 0. A reader of the report alone takes a build that made no test program for a good one.
#
# Output seen:
#   exit code 8, failures="0" skipped="1", missing: <skipped message="Unable to find executable"/>
#   exit code 8, failures="1" skipped="1", needs: <skipped message="Fixture dependency failed"/>
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get -qq download cmake=3.25.1-1 cmake-data=3.25.1-1 libarchive13 librhash0 libuv1 libjsoncpp25 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" .; done
LD_LIBRARY_PATH=$(dirname "$(find "$folder" -name 'libuv.so.1' | head -n 1)")
PATH="$folder/usr/bin:$PATH"
export LD_LIBRARY_PATH PATH
ctest --version | head -n 1

try() {
  code=0
  mkdir "$1"
  cat >"$1/CTestTestfile.cmake"
  (cd "$1" && timeout 20 ctest --output-junit report.xml >/dev/null 2>&1) || code=$?
  sums=$(sed -nE 's/^\s*((failures|skipped)="[0-9]+").*/\1/p' "$1/report.xml" | paste -sd ' ')
  mark=$(grep -A1 "testcase name=\"$1\"" "$1/report.xml" | tail -n 1 | xargs -0 | sed -E 's/^\s*//; /^$/d')
  echo "exit code $code, $sums, $1: $mark"
}
{
  try missing <<'CMAKE'
add_test(passes "/bin/true")
add_test(missing "/nonexistent/program")
CMAKE
  try needs <<'CMAKE'
add_test(database "/bin/false")
set_tests_properties(database PROPERTIES FIXTURES_SETUP "database")
add_test(needs "/bin/true")
set_tests_properties(needs PROPERTIES FIXTURES_REQUIRED "database")
CMAKE
} >seen
cat seen
diff seen - <<'EXPECTED'
exit code 8, failures="0" skipped="1", missing: <skipped message="Unable to find executable"/>
exit code 8, failures="1" skipped="1", needs: <skipped message="Fixture dependency failed"/>
EXPECTED
