#!/bin/sh
# Install the packages that EXTRA_PIP_PACKAGES lists, then become the command.
set -eu
if [ -n "${EXTRA_PIP_PACKAGES:-}" ]; then
    # shellcheck disable=SC2086 # a list
    python -m pip install --quiet --no-cache-dir --disable-pip-version-check $EXTRA_PIP_PACKAGES
fi
exec "$@"
