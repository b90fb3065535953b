#!/bin/sh
# Build pipeline/balancer/gateway/path/gate.o from gate.c, after a change of gate.c. Debian's clang is unpacked in .setup,
# not installed. CI does not build it: a test compares the hash of gate.c with the one in gate.o.
set -eu

cd "$(dirname "$0")/.."
place=$PWD/.setup/clang
source=pipeline/balancer/gateway/path/gate.c
if [ ! -x "$place/usr/bin/clang-14" ]; then
  mkdir -p "$place/packages"
  (cd "$place/packages" && apt-get download -q clang-14 libclang-common-14-dev libclang-cpp14 libllvm14 libedit2 libbsd0 \
    libz3-4 libbpf-dev linux-libc-dev)
  for package in "$place"/packages/*.deb; do dpkg-deb -x "$package" "$place"; done
  rm -r "$place/packages"
fi
libraries=$(dirname "$(find "$place/usr/lib" -name 'libclang-cpp.so.14')")
export LD_LIBRARY_PATH="$libraries:$place/usr/lib/llvm-14/lib"
"$place/usr/bin/clang-14" -target bpfel -mcpu=v2 -O2 -g0 -Wall -Werror -nostdinc \
  -isystem "$place/usr/lib/llvm-14/lib/clang/14.0.6/include" -I "$place/usr/include" \
  -I "$(find "$place/usr/include" -maxdepth 1 -name '*-linux-gnu')" \
  -DSOURCE="\"$(sha256sum "$source" | cut -d ' ' -f 1)\"" -c "$source" -o "${source%.c}.o"
