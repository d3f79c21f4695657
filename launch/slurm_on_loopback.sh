#!/usr/bin/env bash
# A SLURM cluster of one node, this machine, for trying launch.sweep and for its
# tests: no cgroups, no accounts, nothing but the loopback interface.
#
#   apt-get install slurm-wlm munge
#   launch/slurm_on_loopback.sh start DIR    # as root; DIR: its files, new
#   SLURM_CONF=DIR/slurm.conf srun hostname
#   launch/slurm_on_loopback.sh stop DIR
set -euo pipefail

if [ $# -ne 2 ] || [ "$1" != start ] && [ "$1" != stop ]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
dir=$(realpath -m "$2")

stop() {
  for daemon in slurmd slurmctld munged; do
    if [ -s "$dir/$daemon.pid" ]; then
      kill "$(cat "$dir/$daemon.pid")" 2>/dev/null || true
    fi
  done
}

if [ "$1" = stop ]; then
  stop
  exit
fi

for program in munged slurmctld slurmd; do
  if ! PATH=$PATH:/usr/sbin command -v "$program" >/dev/null; then
    echo "error: no $program: apt-get install slurm-wlm munge" >&2
    exit 2
  fi
done
if [ "$(id -u)" -ne 0 ] || [ -e "$dir/slurm.conf" ]; then
  echo "error: run this as root, with a new folder: $dir" >&2
  exit 2
fi
PATH=$PATH:/usr/sbin
mkdir -p "$dir/state" "$dir/spool"
free_ports() {
  python3 -c 'import socket
s = [socket.socket() for _ in range(2)]
for x in s: x.bind(("127.0.0.1", 0))
print(*(x.getsockname()[1] for x in s))'
}
read -r controller node < <(free_ports)
host=$(hostname -s)
cat >"$dir/slurm.conf" <<EOF
ClusterName=loopback
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket=$dir/munge.socket
SlurmctldPort=$controller
SlurmdPort=$node
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2
JobRequeue=1
ReturnToService=2
KillWait=5
MinJobAge=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=loopback Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
export SLURM_CONF=$dir/slurm.conf
dd if=/dev/urandom of="$dir/munge.key" bs=128 count=1 status=none
chmod 400 "$dir/munge.key"
munged --force --socket="$dir/munge.socket" --key-file="$dir/munge.key" \
  --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" \
  --seed-file="$dir/munged.seed" 2>/dev/null
slurmctld
slurmd
for _ in $(seq 100); do
  state=$(sinfo --noheader --format=%T 2>/dev/null || true)
  if [ "$state" = idle ]; then
    echo "SLURM_CONF=$dir/slurm.conf"
    exit
  fi
  sleep 0.3
done
echo "error: the node does not come up; see $dir/slurmctld.log" >&2
stop
exit 1
