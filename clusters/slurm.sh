#!/bin/bash
# One study on Slurm: Ray on every machine of the allocation, the study on the first, all gone at the end.
#   sbatch --nodes=4 clusters/slurm.sh studies/quickstart.yaml /shared/runs/quickstart
# The second argument is the study's folder, on a file system that all machines see. A job that was preempted or ran out
# of time goes on where it stopped, by itself (--requeue) or by the same command. Change: time, cpus, gres, environment.
#SBATCH --job-name=sp-search
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
#SBATCH --exclusive
# #SBATCH --gres=gpu:1

set -euo pipefail
study=${1:?"usage: sbatch slurm.sh STUDY FOLDER"}
folder=${2:?"usage: sbatch slurm.sh STUDY FOLDER"}
# Where sp-search is installed on every machine, e.g.: source "$HOME/sp_search/.venv/bin/activate"

own=$HOME/.sp_search_slurm/$SLURM_JOB_ID
mkdir -p "$own" && chmod 700 "$own"
(umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$own/token")
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$own/token RAY_USAGE_STATS_ENABLED=0
export OMP_NUM_THREADS=1

port=$((20000 + SLURM_JOB_ID % 20000))   # jobs that share a machine do not meet
address=$(hostname --ip-address | cut -d' ' -f1):$port
printf 'address: %s\nnodes: %d\n' "$address" "$SLURM_JOB_NUM_NODES" > "$own/cluster.yaml"
ray_on() { srun --overlap --cpu-bind=none "$@" & steps+=($!); }
steps=()
driver= stopped=

finish() {
  code=$?
  trap - EXIT
  kill "${steps[@]}" 2>/dev/null || true
  wait "${steps[@]}" 2>/dev/null || true
  rm -rf "$own"
  exit "$code"
}
trap finish EXIT
trap 'stopped=yes; [ -z "$driver" ] || kill -TERM "$driver"' TERM   # the study ends within seconds, resumable

mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
first=${hosts[0]}
ray_on --nodes=1 --ntasks=1 --nodelist="$first" \
  ray start --head --block --node-ip-address="${address%:*}" --port="$port" --num-cpus="$SLURM_CPUS_PER_TASK" \
  --include-dashboard=false --temp-dir="/tmp/ray-$SLURM_JOB_ID"
until ray status --address "$address" >/dev/null 2>&1; do
  kill -0 "${steps[0]}" || { echo "Ray did not start on $first" >&2; exit 1; }
  sleep 2
done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  others=$((SLURM_JOB_NUM_NODES - 1))
  ray_on --nodes="$others" --ntasks="$others" --exclude="$first" \
    bash -c 'for try in 1 2 3; do "$@" && exit; sleep 5; done' again \
    ray start --block --address="$address" --num-cpus="$SLURM_CPUS_PER_TASK"   # a machine that is slow to start may try again
fi

if [ -s "$folder/ledger.jsonl" ]; then
  sp-search resume "$folder" --cluster "$own/cluster.yaml" --trust &
else
  sp-search run "$study" --cluster "$own/cluster.yaml" --output "$folder" &
fi
driver=$!
[ -z "$stopped" ] || kill -TERM "$driver"   # the signal came before the study
code=0
wait "$driver" || code=$?
if [ "$code" -gt 128 ] && kill -0 "$driver" 2>/dev/null; then   # the signal ended the wait, not the study
  code=0
  wait "$driver" || code=$?
fi
exit "$code"
