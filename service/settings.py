"""Where the service runs: the only reader of the environment (prefix `UNLEARN_`)."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ObjectStoreKind(StrEnum):
    """Which object store is used."""

    DIRECTORY = "directory"
    S3 = "s3"


class Settings(BaseSettings):
    """Everything about the place, nothing about the computation (that is `mcu_core.config`)."""

    model_config = SettingsConfigDict(env_prefix="UNLEARN_", frozen=True, extra="forbid")

    data_dir: Path = Path("unlearn-data")
    """Everything that the embedded service keeps: database, objects, jobs, caches, keys."""
    cache_dir: Path | None = None
    """What can be made again (copies of manifests, decoded images); service and jobs must both see it, so that what a
    job decoded is erased after the release. By default `cache` in the data directory."""
    database_url: str | None = None
    """SQLAlchemy URL; by default SQLite in the data directory."""
    host: str = "127.0.0.1"
    """Address of gRPC and metrics. Without TLS only a loopback address is accepted."""
    port: Annotated[int, Field(ge=0, le=65535)] = 50051
    """Of gRPC; 0 takes a free one."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9464
    """Of `/metrics`; 0 takes a free one."""
    object_store: ObjectStoreKind = ObjectStoreKind.DIRECTORY
    s3_bucket: str = "unlearning"
    s3_prefix: str = ""
    """Folder in the bucket, without slashes at its ends."""
    s3_endpoint_url: str | None = None
    """Of a server other than AWS."""
    s3_region: str = "us-east-1"
    s3_access_key_id: SecretStr | None = None
    """By default boto3's own chain of credentials."""
    s3_secret_access_key: SecretStr | None = None
    s3_ca_bundle: Path | None = None
    """Certificates that sign the S3 server's."""
    policy_file: Path | None = None
    """Thresholds of the gate; by default those that the package ships."""
    commitment_key_file: Path | None = None
    """32 bytes, hexadecimal, that key every commitment; by default made in the data directory at the first start."""
    signing_key_file: Path | None = None
    """Private key (ed25519, PKCS #8 in PEM) that signs plans, reports and receipts; by default made in the data
    directory at the first start. `unlearn keys show` prints its public part."""
    rpc_threads: Annotated[int, Field(ge=2, le=512)] = 16
    """Calls served at once, besides watchers."""
    rpc_queue: Annotated[int, Field(ge=0, le=10_000)] = 64
    """Further calls accepted before new ones are refused as overload."""
    max_watchers: Annotated[int, Field(ge=1, le=256)] = 8
    """Streams open at once; each has a thread of its own, so that it keeps no other call waiting."""
    max_uploads: Annotated[int, Field(ge=1, le=64)] = 2
    """Uploads of ids at once; each has a thread of its own, and its ids in memory until it is complete."""
    max_upload_ids: Annotated[int, Field(ge=1, le=100_000_000)] = 10_000_000
    """Ids of one upload: a million of them take 8 seconds and 180 MB while they arrive (measured on one core)."""
    upload_keep_hours: Annotated[float, Field(gt=0.0, le=24.0 * 31)] = 24.0
    """How long an upload waits for its ticket before it is erased; what no ticket uses shall not be kept."""
    max_message_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024 * 1024
    """Largest request: 50 000 ids of some 300 bytes."""
    reconcile_interval_seconds: Annotated[float, Field(gt=0.0, le=60.0)] = 0.5
    """Pause between two rounds of the reconciler."""
    drain_seconds: Annotated[float, Field(ge=0.0)] = 10.0
    """Grace for open calls when asked to stop."""
    max_forget_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """Share of the training split that one run forgets at most; further tickets wait for the next run. Canaries do not
    count."""
    canaries_per_run: Annotated[int, Field(ge=0, le=10_000)] = 64
    """Canaries that one run forgets at most, and as many that nothing was trained on; 0 forgets none. The interval of
    an AUC between 64 and 64 is as wide as ±.10 (Hanley & McNeil 1982), enough to see a model that forgot nothing."""
    attempt_failures: Annotated[int, Field(ge=1)] = 4
    """Counted failures on one rung after which a person must look."""
    retry_seconds: Annotated[float, Field(gt=0.0)] = 1.0
    """Back-off after the first counted failure; doubles with each."""
    reference_purge_days: Annotated[int, Field(ge=0, le=366)] = 28
    """Days from the release that forgot a sample to the end of the leave-out models that were trained on it. No
    calendar month, the time that Art. 12(3) GDPR gives, is shorter; 0 purges them within the hour."""
    rollback_days: Annotated[int, Field(ge=0, le=366)] = 7
    """Days for which the weights of a superseded release are kept, so that a release that turns out to be broken has
    something to be compared with. They know deleted samples, so a week and not a month; 0 purges them at once."""
    drift_runs: Annotated[int, Field(ge=1)] = 10
    """Unlearning runs of a lineage after its last full training before the next one must retrain. A convention: how
    the errors of approximate unlearning add up over runs has not been measured."""
    drift_forget_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    """Share of the training split that may be forgotten likewise: thrice the 10 % at which one run was measured."""
    checkpoint_entries: Annotated[int, Field(ge=1)] = 1000
    """Entries of the ledger after which its head is signed; what came before can no longer be rewritten unnoticed."""
    checkpoint_seconds: Annotated[float, Field(gt=0.0)] = 3600.0
    """Time after which it is signed where fewer entries came, but any did: so long the newest ones rest on the database
    alone."""
    worker_threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU threads of a job; by default as many as cores are idle when it starts."""
    reflection: bool = True
    """Serve gRPC reflection; off in production."""
    json_logs: bool = True
    """JSON lines; otherwise lines for people."""

    @property
    def caches(self) -> Path:
        """Return the folder of everything that can be made again."""
        return (self.cache_dir or self.data_dir / "cache").absolute()
