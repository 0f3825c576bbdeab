"""A Slurm cluster on this host alone: Debian's slurm-wlm and munge on the loopback address, four nodes of one core each."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.support.visitor import end

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "srun", "scontrol", "sinfo")
NODES = ("n1", "n2", "n3", "n4")
START_SECONDS = 60

#: Nothing of cgroups or systemd, which containers lack. What waits is cut short: a job that is queued again begins after
#: cred_expire seconds; the scheduler looks every second; a process that is told to end has two.
CONFIG = """
ClusterName=onehost
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
JobRequeue=1
KillWait=2
MessageTimeout=10
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
NodeName=n[1-4] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs=1 RealMemory=2000 State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES MaxTime=1440 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=ALL MaxTime=1440 PriorityTier=2 PreemptMode=OFF
"""


class OneHost:
    """The cluster's daemons, and Slurm's commands as a user gives them."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self.commands = []  # that users started; none outlives the cluster
        self._daemons = {}

    def start(self):
        for name in ("state", *NODES):
            (self.folder / name).mkdir()
        port, *nodes = _free_ports(1 + len(NODES))
        (self.folder / "slurm.conf").write_text(CONFIG.format(folder=self.folder, port=port, first=nodes[0], last=nodes[-1]))
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(64))
        files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid", "log-file": "munged.log"}
        files["seed-file"] = "munged.seed"
        self._daemon("munged", "--foreground", *(f"--{name}={self.folder / file}" for name, file in files.items()))
        wait_until((self.folder / "munge.socket").exists, START_SECONDS, "munged's socket")
        self.start_controller()
        for node in NODES:
            self._daemon(node, "-D", "-N", node, program="slurmd")
        wait_until(
            lambda: self.call("sinfo", "-h", "-N", "-p", "low", "-o", "%t").split() == ["idle"] * len(NODES),
            START_SECONDS,
            "nodes",
        )

    def start_controller(self):
        self._daemon("slurmctld", "-D")

    def stop_controller(self):
        end(self._daemons.pop("slurmctld"))

    def stop(self):
        """End every command and job, then the daemons, those that the others need last."""
        for command in self.commands:
            command.kill()
            command.communicate()
        with contextlib.suppress(subprocess.SubprocessError):
            self.call("scancel", "--user=root", "--signal=KILL", "--full")
            wait_until(lambda: not self.call("squeue", "-h"), 20, "an empty queue")
        for name in reversed(list(self._daemons)):
            end(self._daemons[name])

    def call(self, *command):
        result = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=True)
        return result.stdout

    def _daemon(self, name, *options, program=None):
        with open(self.folder / f"{name}.out", "ab") as log:
            command = [program or name, *options]
            self._daemons[name] = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)


@contextlib.contextmanager
def one_host_cluster():
    """Start the cluster; end it and remove its files behind it.

    Raises:
        RuntimeError: it cannot be started by this user, or with what is installed.
    """
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        problem = f"{', '.join(missing)} cannot be found" if missing else "this is not root"
        raise RuntimeError(f"A cluster needs root and Debian's packages slurm-wlm and munge: {problem}.")
    folder = Path(tempfile.mkdtemp(prefix="one-host-"))
    folder.chmod(0o755)  # munged wants others to reach its socket
    cluster = OneHost(folder)
    try:
        cluster.start()
        yield cluster
    except BaseException:
        for log in sorted(folder.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
        raise
    finally:
        cluster.stop()
        shutil.rmtree(folder)


def wait_until(condition, seconds, what):
    """Wait until it is true, which an error counts as not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.SubprocessError):
            if condition():
                return
        time.sleep(0.05)
    raise TimeoutError(f"Waited {seconds:.0f} s in vain for {what}.")


def _free_ports(count):
    """Return ports in a row, since Slurm takes those of nodes as a range."""
    for first in range(21_000, 30_000, 10):
        ports = list(range(first, first + count))
        with contextlib.ExitStack() as sockets:
            try:
                for port in ports:
                    sockets.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return ports
    raise RuntimeError("No free ports between 21000 and 30000.")
