#!/usr/bin/env bash
# Check training, scoring and merging on a GPU, on an XLM-R-base-size model; at most 8 minutes.
#
#   scripts/gpu_check.sh                 # exit code 3 without a GPU
#   scripts/gpu_check.sh --small --cpu   # the same steps on a tiny model, without a GPU
#
# PYTHON names the Python that has the package. Exit code 1: a step failed, or GPU and CPU differ.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
[ -n "${PYTHON:-}" ] || [ ! -x .venv/bin/python ] || python=.venv/bin/python
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
limit=480
case " $* " in *" --small "*) limit=3600 ;; esac
exec timeout "$limit" "$python" scripts/gpu_check.py "$@"
