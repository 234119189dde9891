#!/bin/bash
# A sweep on whole nodes of a Slurm cluster: Ray is started on all of them, runs it, and is stopped again.
#
# Change the lines marked CHANGE, then submit it with `sbatch slurm.sh`. When the time is up or the nodes are taken
# away, submit it again: it goes on. From any machine that sees the folder: `landslide-tune status RUN_DIR --watch`.
#
#SBATCH --job-name=landslide-tune
#SBATCH --nodes=2                # CHANGE: how many nodes
#SBATCH --gpus-per-node=4        # CHANGE: GPUs of a node
#SBATCH --cpus-per-task=32       # CHANGE: CPUs of a node
#SBATCH --time=08:00:00          # CHANGE
#SBATCH --ntasks-per-node=1      # one Ray node per machine
#SBATCH --exclusive              # Ray uses fixed ports, and at the end stops every Ray of yours on the node
#SBATCH --requeue                # a job whose nodes were taken away is started again, and goes on
#SBATCH --open-mode=append
#SBATCH --output=landslide-tune-%j.log
set -euo pipefail

# CHANGE: folders on a file system that all nodes see (or s3://bucket/prefix)
ENVIRONMENT=$HOME/landslide-tune/.venv      # pip install -c constraints.txt ".[cluster]"
DATA=$HOME/data/landslide4sense
RUN_DIR=$HOME/sweeps/first
# The packed dataset: a local disk of the node if it has one; unset, it is in ~/.cache
# export LANDSLIDE_TUNE_CACHE=/local/scratch/$USER

source "$ENVIRONMENT/bin/activate"
export RAY_USAGE_STATS_ENABLED=0
# Whoever reaches a Ray runtime can run programs as you: nobody joins without the token in your home.
export RAY_AUTH_MODE=token
ray get-auth-token --generate > /dev/null

resume=()
if landslide-tune status "$RUN_DIR" > /dev/null 2>&1; then
    resume=(--resume)
fi

head_node=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
head_ip=$(srun --nodes=1 --ntasks=1 --nodelist="$head_node" hostname --ip-address | awk '{ print $1 }')
address=$head_ip:6379

# Starts Ray on every node and runs what follows -- on the head node only; its exit code is the job's.
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$SLURM_GPUS_ON_NODE" --include-dashboard=false -- \
    landslide-tune sweep unet --data "$DATA" --out "$RUN_DIR" --configs 24 --max-epochs 40 \
    --gpus-per-trial auto --address "$address" "${resume[@]}"
