#!/usr/bin/env bash
# All that docs/speed.md has rows for on a GPU, as one table, in less than nine
# minutes:
#
#   launch/benchmarks/gpu.sh [OUT.md]
#
# From the root of the checkout, with JAX for the GPU in $PYTHON (python), and
# PyTorch for the peers' rows. AUDIOSET=DIR trains on the released embeddings;
# without it on synthetic ones. Parts come in the order of their worth. Those
# down to `plan` have time in any case: their shares add up to less than the
# whole. The others take what is left, and the last ones may have none: `peers`
# were measured before, and `passes` tells of an H100 without one
# (`--device=h100`). What fails, takes longer than its share or has no time left
# says so in its row; what was printed besides is in OUT.md.log.
set -u
out=${1:-gpu_speed.md}
python=${PYTHON:-python}
log=$out.log
runs=$(mktemp -d)
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

# part NAME SECONDS COMMAND…: its rows and the seconds that it took, or one that
# says why there are none.
part() {
  local name=$1 most=$2 left=$((525 - SECONDS)) began=$SECONDS printed
  shift 2
  if [ "$left" -lt 20 ]; then
    echo "| $name | | not measured: no time left |"
    return
  fi
  if [ "$most" -gt "$left" ]; then most=$left; fi
  echo "== $name: $*" >>"$log"
  if ! printed=$(timeout "$most" "$@" 2>>"$log"); then
    echo "| $name | | failed or not over in $most s, see the log |"
  fi
  printf '%s\n' "$printed" >>"$log"
  printf '%s\n' "$printed" | rows
  echo "| $name | this part | $((SECONDS - began)) s |"
}

data=()
if [ -n "${AUDIOSET:-}" ]; then
  data=(--config.data_dir="$AUDIOSET" --config.train_splits=bal_train)
fi

# train NAME SECONDS CACHE [OPTION…]: a whole command.
train() {
  part "audioset_level3, $1" "$2" "$python" -m launch.benchmarks.command \
    --name="$1" --workdir="$runs/$1" --cache_dir="$runs/$3" \
    --config=configs/audioset_level3.py \
    ${data[@]+"${data[@]}"} "${@:4}"
}

{
  nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
  date -u +%F
  git describe --always --dirty
  echo
  echo '| what | row | measured |'
  echo '|---|---|---|'
  train cold 45 cache --config.max_steps=500 --config.eval_every=500
  train warm 30 cache --config.max_steps=500 --config.eval_every=500
  train every_1000 40 cache --config.max_steps=10000 \
    --config.eval_every=1000 --config.patience=100
  train every_250 30 cache --config.max_steps=2500 --config.eval_every=250 \
    --config.patience=100
  part classifiers 100 "$python" -m launch.benchmarks.classifiers \
    --device=gpu --who=ours --tables=level3,attention,lstm,ensemble
  part extractors 120 "$python" -m launch.benchmarks.extractors --device=gpu \
    --parts=log_mel,embedding,tuning
  part vggish 110 "$python" -m launch.benchmarks.vggish --device=gpu \
    --batches=32,280 --step_batches=32,280
  part plan 35 "$python" -m launch.benchmarks.plan
  # What follows may be left out.
  train deterministic_1 60 one --config.max_steps=500 \
    --config.eval_every=500 --config.deterministic=True
  train deterministic_2 60 two --config.max_steps=500 \
    --config.eval_every=500 --config.deterministic=True
  part 'ten models on one GPU' 100 "$python" -m launch.sweep \
    --sweep=launch/sweeps/table10.py --workdir="$runs/table10" \
    --cache_dir="$runs/cache" --parallel=5 --config.max_steps=500 \
    --config.eval_every=250 ${data[@]+"${data[@]}"}
  part peers 100 "$python" -m launch.benchmarks.classifiers --device=gpu \
    --who=peers --tables=level3,lstm
  part passes 90 "$python" -m launch.benchmarks.passes --device=gpu \
    --widths=1,0.125
} | tee "$out"
