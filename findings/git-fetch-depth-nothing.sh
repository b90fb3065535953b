#!/bin/sh
# Package: git of Debian 12, 1:2.39.5-0+deb12u3 (the version is printed below). It is used as installed.
#
# Guess before the first run: a fetch whose refspec with a `*` matches no ref succeeds and fetches nothing, with and
# without a depth, since an empty repository or one without branches is not an error.
#
# Behaviour seen: without a depth, git exits with 0. With --depth or --shallow-since, and with --unshallow in a shallow
# repository, the same fetch exits with 1 and prints nothing on either stream, with or without --quiet. A caller has no
# reason that it could show. Valid input: a checkout with a detached HEAD and no branch, as CI services make it.
#
# Output seen:
#   none: exit 0, 0 bytes
#   --depth=1: exit 1, 0 bytes
#   --shallow-since=2001-01-01: exit 1, 0 bytes
#   --unshallow: exit 1, 0 bytes
#
# Exits with 0 while git behaves so, and with 1 if it does not.
set -eu
git --version
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HOME="$folder" GIT_CONFIG_NOSYSTEM=1
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
cd "$folder"
git init -q -b main source
for number in 1 2; do
  git -C source -c user.name=a -c user.email=a@example.com commit -q --allow-empty -m "$number"
done
# A shallow checkout of one commit, without a branch.
git init -q -b unborn checkout
git -C checkout fetch -q --depth=1 "file://$folder/source" main
git -C checkout checkout -q --detach FETCH_HEAD
test -z "$(git -C checkout for-each-ref)"
git init -q --bare mirror
git -C mirror fetch -q --update-shallow "$folder/checkout" HEAD
test -f mirror/shallow
for option in none --depth=1 --shallow-since=2001-01-01 --unshallow; do
  status=0
  set -- "$option"
  test "$option" != none || set --
  git -C mirror fetch --update-shallow "$@" "$folder/checkout" '+refs/heads/*:refs/heads/*' >out 2>&1 || status=$?
  echo "$option: exit $status, $(($(wc -c <out))) bytes"
done >seen
cat seen
printf '%s\n' 'none: exit 0, 0 bytes' '--depth=1: exit 1, 0 bytes' '--shallow-since=2001-01-01: exit 1, 0 bytes' \
  '--unshallow: exit 1, 0 bytes' | diff - seen
