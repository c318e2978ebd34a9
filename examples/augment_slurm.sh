#!/usr/bin/env bash
# A face set made by a Slurm array, a shard a task, on nodes that share a disk:
#
#   SHARDS=64 bash examples/augment_slurm.sh SRC DST [more options of augment]
#
# submits the array, and after it the job that finishes the set. A task that is requeued, and an array
# that is submitted again, go on where they stopped.
#SBATCH --job-name=augment
#SBATCH --cpus-per-task=8
#SBATCH --mem=8G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --output=augment-%A_%a.log
set -euo pipefail
export SHARDS="${SHARDS:-64}"

if [ -z "${SLURM_JOB_ID:-}" ]; then # where the array is submitted
    array=$(sbatch --parsable --array="0-$((SHARDS - 1))" "$0" "$@")
    sbatch --dependency="afterok:$array" "$0" "$@"
elif [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then # a task of the array
    exec mfr-kit augment "$@" --shards "$SHARDS" --shard "$SLURM_ARRAY_TASK_ID" --workers "${SLURM_CPUS_PER_TASK:-1}"
else # after the array
    exec mfr-kit augment "$@" --shards "$SHARDS" --workers "${SLURM_CPUS_PER_TASK:-1}"
fi
