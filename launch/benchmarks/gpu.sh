#!/usr/bin/env bash
# All that docs/speed.md has columns for on a GPU, as one table, in less than
# nine minutes:
#
#   launch/benchmarks/gpu.sh [OUT.md]
#
# From the root of the checkout, with JAX for the GPU in $PYTHON (python), and
# PyTorch for the peers' rows. AUDIOSET=DIR trains on the released embeddings;
# without it on synthetic ones. What fails or has no time left says so in its
# row; what was printed besides is in OUT.md.log.
set -u
out=${1:-gpu_speed.md}
export python=${PYTHON:-python}
log=$out.log
runs=$(mktemp -d)
export runs
trap 'rm -rf "$runs"' EXIT
: >"$log"

# The rows of a printed table: what | row | a number for each column.
rows() {
  awk -F '  +' '
    /^-+(  -+)+$/ { for (i = 2; i <= n; i++) name[i] = head[i]; title = head[1]
                    inside = 1; next }
    NF < 2 { inside = 0 }
    inside { line = ""; for (i = 2; i <= NF; i++) line = line (i > 2 ? "; " : "") name[i] " " $i
             print "| " title " | " $1 " | " line " |" }
    { n = NF; for (i = 1; i <= NF; i++) head[i] = $i }'
}

# part NAME COMMAND…: its rows, or one that says why there are none.
part() {
  local name=$1 left=$((525 - SECONDS)) printed
  shift
  if [ "$left" -lt 20 ]; then
    echo "| $name | | not measured: no time left |"
    return
  fi
  echo "== $name: $*" >>"$log"
  if ! printed=$(timeout "$left" "$@" 2>>"$log"); then
    echo "| $name | | failed, see the log |"
  fi
  printf '%s\n' "$printed" >>"$log"
  printf '%s\n' "$printed" | rows
}

# train FOLDER CACHE [OPTION…]: a whole command, and what it took.
train() {
  local folder=$runs/$1 cache=$runs/$2 start=$(date +%s.%N)
  shift 2
  "$python" -m aec_jax.main --config=configs/audioset_level3.py \
    --workdir="$folder" --cache_dir="$cache" --config.max_steps=1500 \
    --config.eval_every=500 \
    ${AUDIOSET:+--config.data_dir="$AUDIOSET" --config.train_splits=bal_train} \
    "$@" >&2 || return 1
  "$python" - "$folder" "$start" <<'END'
import json, sys, time
found = json.load(open(sys.argv[1] + '/results.json'))
print('1,500 steps of audioset_level3  s  train s  mAP')
print('-  -  -  -')
print(sys.argv[1].rsplit('/')[-1], f'{time.time() - float(sys.argv[2]):.1f}',
      f"{found['seconds']['train']:.1f}", found['metrics']['mAP'], sep='  ')
END
}
export -f train
trained() { part "$1" bash -c 'train "$@"' train "${@:2}"; }

{
  nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
  date -u +%F
  git describe --always --dirty
  echo
  echo '| what | row | measured |'
  echo '|---|---|---|'
  trained start cold cache
  trained start warm cache
  trained determinism deterministic_1 one --config.deterministic=True
  trained determinism deterministic_2 two --config.deterministic=True
  part classifiers "$python" -m launch.benchmarks.classifiers --device=gpu \
    --who=ours --tables=level3,attention,lstm,ensemble
  part passes "$python" -m launch.benchmarks.passes --device=gpu
  part vggish "$python" -m launch.benchmarks.vggish --device=gpu \
    --batches=32,280 --step_batches=32,280
  part peers "$python" -m launch.benchmarks.classifiers --device=gpu \
    --who=peers --tables=level3,lstm
} | tee "$out"
