#!/bin/sh
# Downloads pip and the packages of requirements.txt into wheels/, from which the image is built without a network.
set -eu
cd "$(dirname "$0")"
rm -rf wheels
python3 -m pip download --quiet --no-deps --dest wheels --requirement requirements.txt pip==26.3 --only-binary :all: \
  --implementation cp --python-version 3.11 --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --platform any
mv wheels/pip-*.whl wheels/pip.whl
