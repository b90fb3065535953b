#!/bin/sh
# Package: git of Debian 12, 1:2.39.5-0+deb12u3 (the version is printed below). It is used as installed.
#
# Guess before the first run: `git cat-file --batch-check --follow-symlinks TREE:PATH` follows a symbolic link as a
# checkout does, so links to `target`, `./target` and `folder/./target` lead to the same file.
#
# Behaviour seen: a target with a component `.` is reported as dangling, although the file is in the tree and a checkout
# of the commit follows the link. `..` is handled. git-cat-file(1) says that `dangling` means that the link cannot be
# resolved; it does not mention `.`.
#
# Output seen, for links to `target`, `./target`, `folder/../target` and `folder/./other`:
#   plain: blob 8
#   dot: dangling
#   dotdot: blob 8
#   inner: dangling
#
# Exits with 0 while git behaves so, and with 1 if it does not.
set -eu
git --version
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HOME="$folder" GIT_CONFIG_NOSYSTEM=1
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
cd "$folder"
git init -q -b main repository
cd repository
mkdir folder
echo content >target
echo content >folder/other
ln -s target plain
ln -s ./target dot
ln -s folder/../target dotdot
ln -s folder/./other inner
git add .
git -c user.name=a -c user.email=a@example.com commit -q -m First
# A checkout follows all four.
for link in plain dot dotdot inner; do
  test "$(cat "$link")" = content
done
for link in plain dot dotdot inner; do
  answer=$(echo "HEAD:$link" | git cat-file --batch-check='%(objecttype) %(objectsize)' --follow-symlinks | head -n 1)
  # The number after `dangling` is the length of the request.
  case $answer in dangling*) answer=dangling ;; esac
  echo "$link: $answer"
done >../seen
cat ../seen
printf 'plain: blob 8\ndot: dangling\ndotdot: blob 8\ninner: dangling\n' | diff - ../seen
