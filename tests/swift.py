"""OpenStack Swift with its S3 API on the loopback: a real object store, started and stopped by the tests."""

import configparser
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest

from tests.integration.head import free_ports

REPOSITORY = Path(__file__).resolve().parents[1]
BINARIES = REPOSITORY / ".venv-swift/bin"
SERVERS = ("account", "container", "object", "proxy")
MIDDLEWARE = {  # in the order in which a request meets it
    "catch_errors": {},
    "gatekeeper": {},
    "proxy_logging": {},
    "memcache": {"memcache_servers": "127.0.0.1:1"},  # there is none, and nothing here needs one
    "listing_formats": {},
    "s3api": {"location": "us-east-1", "s3_acl": "false", "allow_multipart_uploads": "true"},
    "tempauth": {"user_test_tester": "swift-secret .admin"},
    "copy": {},
    "slo": {},
    "dlo": {},
}
START_S = 90.0


@dataclass
class Swift:
    """A running Swift. Everything it writes lies in `folder`."""

    folder: Path
    ports: Mapping[str, int]
    bucket: str = "bucket"
    access_key: str = "test:tester"
    secret: str = "swift-secret"
    region: str = "us-east-1"
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['proxy']}"

    def environment(self, endpoint: str = "") -> dict[str, str]:
        """What a user sets to work on this store, or on a proxy before it."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": self.region,
        }

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret,
            region_name=self.region,
            config=botocore.config.Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1}),
        )

    def start(self, server: str) -> None:
        with open(self.folder / f"{server}.log", "ab") as log:
            self._processes[server] = subprocess.Popen(
                [BINARIES / f"swift-{server}-server", self.folder / f"{server}.conf", "--verbose"],
                env=os.environ | {"SWIFT_DIR": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self, server: str) -> None:
        """With SIGKILL. Each server is one process."""
        self._processes[server].kill()
        self._processes[server].wait()

    def wait_until_it_answers(self) -> None:
        """All four servers have a part in a bucket with an object in it."""
        client, deadline_s = self.client(), time.monotonic() + START_S
        while True:
            try:
                with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
                    client.create_bucket(Bucket=self.bucket)
                client.put_object(Bucket=self.bucket, Key="answers", Body=b"yes")
                return
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
                if time.monotonic() > deadline_s or any(each.poll() is not None for each in self._processes.values()):
                    raise RuntimeError(f"Swift does not answer: {error}\n{self.logs()}") from None
                time.sleep(0.2)

    def logs(self) -> str:
        return "\n".join(f"{path.name}:\n{path.read_text()[-2000:]}" for path in self.folder.glob("*.log"))


@contextlib.contextmanager
def swift() -> Iterator[Swift]:
    """Start the four servers on free ports; end them and remove their folder, whatever happens. Skips without Swift."""
    if not (BINARIES.parent / ".installed").is_file():
        pytest.skip("OpenStack Swift is not installed; run `make .venv-swift/.installed`")
    with _folder() as folder, contextlib.ExitStack() as stops:
        store = Swift(folder, dict(zip(SERVERS, free_ports(len(SERVERS)), strict=True)))
        _configure(store)
        for server in SERVERS:
            store.start(server)
            stops.callback(store.kill, server)
        store.wait_until_it_answers()
        yield store


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A new folder on a file system with users' extended attributes, where Swift keeps what it knows of an object."""
    for parent in (tempfile.gettempdir(), "/var/tmp"):
        folder = Path(tempfile.mkdtemp(prefix="swift-", dir=parent))
        try:
            os.setxattr(folder, "user.swift", b"")
            yield folder
            return
        except OSError:
            if list(folder.iterdir()):
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    pytest.skip("neither the temporary folder nor /var/tmp keeps users' extended attributes, which Swift needs")


def _configure(store: Swift) -> None:
    folder = store.folder
    (folder / "disks/one").mkdir(parents=True)
    _write(
        folder / "swift.conf",
        {
            "swift-hash": {"swift_hash_path_prefix": "a", "swift_hash_path_suffix": "b"},
            "storage-policy:0": {"name": "one", "default": "yes", "policy_type": "replication"},
        },
    )
    for server in SERVERS:
        common = {"bind_ip": "127.0.0.1", "bind_port": store.ports[server], "workers": 0, "user": _user()}
        common |= {"swift_dir": folder, "log_name": server}
        if server == "proxy":
            app = {"use": "egg:swift#proxy", "account_autocreate": "true", "allow_account_management": "true"}
            sections = {f"filter:{name}": {"use": f"egg:swift#{name}", **more} for name, more in MIDDLEWARE.items()}
        else:
            _make_ring(folder, server, store.ports[server])
            common |= {"devices": folder / "disks", "mount_check": "false"}
            app = {"use": f"egg:swift#{server}", "recon_cache_path": folder}
            sections = {}
        pipeline = {"pipeline": " ".join([*(name.partition(":")[2] for name in sections), f"{server}-server"])}
        _write(
            folder / f"{server}.conf",
            {"DEFAULT": common, "pipeline:main": pipeline, f"app:{server}-server": app, **sections},
        )


def _make_ring(folder: Path, server: str, port: int) -> None:
    """A ring of one copy on one disk."""
    for command in (
        ["create", 6, 1, 0],
        ["add", f"r1z1-127.0.0.1:{port}/one", 1],
        ["rebalance"],
    ):
        subprocess.run(
            [BINARIES / "swift-ring-builder", folder / f"{server}.builder", *map(str, command)],
            check=True,
            capture_output=True,
        )


def _write(path: Path, sections: Mapping[str, Mapping[str, Any]]) -> None:
    parser = configparser.RawConfigParser(default_section="")
    parser.read_dict(sections)
    with open(path, "w", encoding="utf-8") as file:
        parser.write(file)


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name
