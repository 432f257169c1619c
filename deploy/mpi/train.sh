#!/usr/bin/env bash
# A job under Open MPI:
#
#   PS=2 WORKERS=4 deploy/mpi/train.sh --data_dir=DATA [flags of parley_worker]
#
# On several hosts, HOSTFILE is mpirun's list of them, and ETCD=host:port is needed: mpirun does not tell the tasks where the
# others are. On one host the ps tasks listen on PORT (2222) and those after it. JOB names the job in etcd.
set -euo pipefail
ps=${PS:-2}
cluster=(--ps="$ps" --port="${PORT:-2222}")
[ -n "${ETCD:-}" ] && cluster+=(--etcd="$ETCD" --job="${JOB:-parley}")
exec mpirun ${HOSTFILE:+--hostfile "$HOSTFILE"} --oversubscribe \
  -n "$ps" parley_ps "${cluster[@]}" : \
  -n "${WORKERS:-2}" parley_worker "${cluster[@]}" "$@"
