#!/usr/bin/env bash
# One training on several nodes of 8 GPUs that share a disk:
#
#   sbatch --nodes 2 examples/distill_slurm.sh --config RECIPE.toml --out RUN [more options of distill]
#
# torchrun starts a rank a GPU. A rank that dies costs the steps since the last checkpoint; a job that
# is requeued goes on there as well, also with another number of nodes if --batch-size is changed with it.
#SBATCH --job-name=distill
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=96
#SBATCH --time=72:00:00
#SBATCH --requeue
#SBATCH --output=distill-%j.log
set -euo pipefail
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
program=$(command -v mfr-kit)

exec srun --kill-on-bad-exit torchrun \
    --nnodes "$SLURM_NNODES" --nproc-per-node "$SLURM_GPUS_ON_NODE" --max-restarts 3 \
    --rdzv-backend c10d --rdzv-endpoint "$first:29400" --rdzv-id "$SLURM_JOB_ID" \
    "$program" distill "$@" --resume --workers 10
