"""A Ray head as an administrator starts it, in an environment without this package, and stopped without a trace."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from actionrec.cluster.start import turn

START_S = 60.0
STOP_S = 3.0  # after which what still runs is killed


@dataclass(frozen=True)
class Head:
    """A running head. Everything it writes lies in `folder`."""

    folder: Path
    token: str
    port: int  # the dashboard's, which also takes jobs
    agent_port: int  # the agent's, which starts them
    environment: dict[str, str]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ray(self, *arguments: object) -> list[str]:
        """Ray's own command, in the head's environment."""
        return [str(self.folder / "env/bin/python"), "-m", "ray.scripts.scripts", *map(str, arguments)]

    def submit(self, working_dir: Path, *entrypoint: object, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """`ray job submit`, which waits and shows the job's log."""
        return subprocess.run(
            self.ray("job", "submit", "--address", self.address, "--working-dir", working_dir, "--", *entrypoint),
            env=self.environment,
            cwd=working_dir,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def submit_and_follow(
        self, working_dir: Path, entrypoint: str, stop_at: str = "", *, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """The same by JobSubmissionClient; the last line of what it says is the job's status and exit code."""
        script = Path(__file__).with_name("submit.py")
        return subprocess.run(
            [self.folder / "env/bin/python", script, self.address, working_dir, stop_at, entrypoint],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def answer(self, path: str, token: str | None) -> int:
        """The HTTP status of a GET."""
        request = urllib.request.Request(self.address + path)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as got:
                return int(got.status)
        except urllib.error.HTTPError as error:
            return error.code

    def agent_lives(self) -> bool:
        """Whether an agent listens on its port and calls itself healthy."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.agent_port}/api/healthz", timeout=10) as got:
            return bool(got.status == 200)


@contextlib.contextmanager
def head(token: str, num_cpus: int) -> Iterator[Head]:
    """Start a head with its own ports, folder and environment; end all that it started, and remove the folder."""
    folder = Path(tempfile.mkdtemp(prefix="ray-head-"))  # short: the path of a Unix socket has 107 bytes
    with contextlib.ExitStack() as stops:
        stops.callback(shutil.rmtree, folder)
        with turn():  # the limit of Ray's own start is a head's too
            started, process = _begin(folder, token, num_cpus)
            stops.callback(_stop, process, folder)
            _wait_until_it_answers(started, process)
        yield started


def _begin(folder: Path, token: str, num_cpus: int) -> tuple[Head, subprocess.Popen[bytes]]:
    gcs, dashboard, client, agent, metrics = free_ports(5)
    started = Head(folder, token, dashboard, agent, _environment(folder, token))
    command = started.ray("start", "--head", "--block", f"--num-cpus={num_cpus}", "--disable-usage-stats")
    command += [f"--temp-dir={folder / 'ray'}", f"--port={gcs}", "--min-worker-port=0", "--max-worker-port=0"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
    command += [f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}"]
    command += ["--node-ip-address=127.0.0.1", f"--object-store-memory={256 * 2**20}"]
    with open(folder / "start.log", "wb") as log:
        process = subprocess.Popen(
            command, env=started.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    return started, process


def processes_of(folder: Path) -> set[int]:
    """Living processes that know the folder by their command line or environment: the head, and all it started."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended, or is somebody else's
            if bytes(folder) in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                found.add(int(process.name))
    return found - {os.getpid()}


def _environment(folder: Path, token: str) -> dict[str, str]:
    """Of this process, what no cluster job should depend on taken out. `python` has the libraries, not this package."""
    venv.create(folder / "env", symlinks=True)
    paths = {"base": str(folder / "env"), "platbase": str(folder / "env")}
    libraries = Path(sysconfig.get_path("purelib", vars=paths), "libraries.pth")
    libraries.write_text(sysconfig.get_path("purelib"))  # .pth files over there, an editable install's, do not count
    (folder / "token").write_text(token)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_", "PYTHON"))}
    (folder / "tmp").mkdir()
    return kept | {
        "TMPDIR": str(folder / "tmp"),  # what a killed process would leave there goes with the folder
        "PATH": f"{folder / 'env/bin'}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "OMP_NUM_THREADS": "1",
    }


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, and that nobody is given before they are used.

    They lie above 10002 to 19999, where Ray's workers would look, and below what a kernel hands out by itself: a port
    that it named a second ago, another test's Ray on this machine may have been given meanwhile.
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(range(20000, 32000), 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("nearly all ports from 20000 to 31999 are taken")


def _wait_until_it_answers(started: Head, process: subprocess.Popen[bytes]) -> None:
    """Both halves: the dashboard takes a job, the agent starts it. Without its agent a head refuses every job."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            if started.answer("/api/jobs/", started.token) == 200 and started.agent_lives():
                return
        time.sleep(0.2)
    raise RuntimeError(f"the head did not start:\n{(started.folder / 'start.log').read_text()}")


def _stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    """By process id: `ray stop` would end every Ray on this machine. The job's driver is in no group of the head's."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in processes_of(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + STOP_S
        while processes_of(folder) and time.monotonic() < deadline:
            process.poll()  # or it would stay as a zombie
            time.sleep(0.1)
    process.wait()
