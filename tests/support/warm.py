"""Python processes that have torch already, and so begin in a fifth of a second in place of two and a half.

They are forked from a process that has imported `PACKAGES` and done nothing else. None of these is our own, nor one that reads
the environment as it is imported, as Gradio and the Hub's client do.
"""

import contextlib
import functools
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist

PACKAGES = ["torch", "torch.distributed", "torch._dynamo", "sklearn.metrics"]  # _dynamo: every optimizer brings it
PACKAGES += ["fastapi", "pandas", "scipy.stats", "uvicorn"]  # Gradio and the page bring them

METHOD = "forkserver"
CONTEXT = multiprocessing.get_context(METHOD)
CONTEXT.set_forkserver_preload(PACKAGES)


class Popen:
    """`subprocess.Popen` of `python`, `python -m` or `python -c`, as far as tests need it; it writes to files alone."""

    def __init__(self, command, cwd=None, env=None, stdout=None, stderr=None, start_new_session=False, context=CONTEXT, **_):
        python, *arguments = command
        assert python == sys.executable
        where = [os.devnull if file == subprocess.DEVNULL else getattr(file, "name", None) for file in (stdout, stderr)]
        environment = dict(os.environ if env is None else env)
        self._process = context.Process(
            target=_run, args=(arguments, str(cwd or Path.cwd()), environment, where, start_new_session)
        )
        self._process.start()

    @property
    def pid(self):
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self._process.kill()

    def terminate(self):
        self._process.terminate()


#: In place of `subprocess` where a warm process starts others: they are forked from itself.
forking = SimpleNamespace(Popen=functools.partial(Popen, context=multiprocessing.get_context("fork")))


def run(command, folder, env, cwd=None):
    """Run a command to its end; gives the exit code and what it wrote, which goes to files in `folder`."""
    paths = folder / "stdout.txt", folder / "stderr.txt"
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        code = Popen(command, cwd or folder, env, *files).wait(300)
    return code, *(path.read_text() for path in paths)


def _run(arguments, cwd, environment, where, new_session):
    if new_session:
        os.setsid()
    for number, path in zip((1, 2), where, strict=True):
        if path:
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    tempfile.tempdir = None  # what Python itself reads of the environment when it starts
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    sys.stdout.reconfigure(write_through=bool(environment.get("PYTHONUNBUFFERED")))
    packages = [path for path in sys.path if path.endswith("-packages") or path.startswith(sys.base_prefix)]
    sys.path[:] = [cwd, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *packages]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    first, *rest = arguments[1:] if arguments[0] == "-u" else arguments
    if first == "-c":
        sys.argv[:] = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    elif first == "-m":
        sys.argv[:] = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = [first, *rest]
        runpy.run_path(first, run_name="__main__")


def two_processes(function, folder, *arguments):
    """Call `function(rank, folder, *arguments)` in both."""
    torch.multiprocessing.start_processes(_join, (function, folder, *arguments), nprocs=2, start_method=METHOD)


def _join(rank, function, folder, *arguments):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    assert callable(function)
    function(rank, folder, *arguments)
    dist.destroy_process_group()
