#!/bin/sh
# Installs the packages of package-lock.json into node_modules/, from which the image is built without a network.
set -eu
cd "$(dirname "$0")"
npm ci --omit=dev --no-audit --no-fund --silent
