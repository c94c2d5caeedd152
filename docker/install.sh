#!/bin/sh
# Installs what the service runs on into a new virtual environment: docker/install.sh VENV [LOCK...]. Every package by its hash, compiled, and
# without what only developers of those packages read. The Dockerfile and .ci/image run this same script.
set -eu
here=$(dirname "$0")
venv=${1:?usage: docker/install.sh VENV [LOCK...]}
shift
[ $# -gt 0 ] || set -- "$here/requirements.lock"
uv venv --quiet --python "${PYTHON:-python3}" "$venv"
for lock in "$@"; do
  uv pip install --quiet --python "$venv" --no-deps --require-hashes --only-binary :all: --compile-bytecode --requirement "$lock"
done
cd "$venv"/lib/python3*/site-packages
# Tests of packages, their C headers and type stubs: nothing here imports them (.ci/image starts the service to see).
find . -type d \( -name tests -o -name testing -o -name include \) -not -path './numpy/*' -prune -exec rm -r {} +
rm -r ./numpy/tests ./numpy/*/tests ./numpy/_core/include ./numpy/f2py 2>/dev/null || true
find . -type f \( -name '*.pyi' -o -name '*.c' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' \) -delete
# Where in the world a phone number is, and who its carrier is: tables of 40 MB that recognising one does not need.
rm -r ./phonenumbers/geodata ./phonenumbers/carrierdata ./phonenumbers/tzdata 2>/dev/null || true
# Other databases than the two.
rm -r ./sqlalchemy/dialects/mssql ./sqlalchemy/dialects/mysql ./sqlalchemy/dialects/oracle
# What debuggers of C read. Libraries that were moved into a wheel (*.libs) do not survive it.
command -v strip >/dev/null || { echo "strip is missing: install binutils" >&2; exit 1; }
find . -type f -name '*.so' -not -path './*.libs/*' -exec strip --strip-debug {} +
