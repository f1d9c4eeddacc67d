#!/usr/bin/env bash
# Measures one GPU in at most eight minutes and prints a table last; --help says the options, docs/training.md what it measures.
#
# The machine needs torch, torchvision, timm, numpy, pandas, scikit-learn, pyyaml and jinja2. pydantic, which reads and
# writes journals, is carried: `tests/gpu/run.sh pack 3.12`, where there is a network, puts its wheels for that Python
# into tests/gpu/wheels, and they are unpacked here without an installation.
set -euo pipefail
cd "$(dirname "$0")/../.."
wheels=tests/gpu/wheels

if [[ "${1:-}" == pack ]]; then
    python3 -m pip download --quiet --only-binary=:all: --platform manylinux2014_x86_64 \
        --python-version "${2:-3.12}" --dest "$wheels" pydantic
    exec ls "$wheels"
fi

carried=$(mktemp -d)
trap 'rm -rf "$carried"' EXIT
python3 -c 'import pydantic' 2>/dev/null || for wheel in "$wheels"/*.whl; do
    [[ -e "$wheel" ]] && python3 -m zipfile -e "$wheel" "$carried"
done
export PYTHONPATH="$PWD:$carried${PYTHONPATH:+:$PYTHONPATH}"
timeout --signal=INT --kill-after=10 470 python3 -m tests.gpu.measure "$@"
