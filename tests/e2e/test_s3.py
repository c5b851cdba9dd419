"""The main job with every object on a real S3 server: base model, candidate, report, release, pointer."""

import hashlib
import json
from pathlib import Path

from pydantic import SecretStr

from service.bootstrap import build_objects
from service.client import connect
from service.domain.release import pointer_key, report_key
from service.pb.unlearning.v1 import ticket_pb2 as ticket_pb
from service.settings import ObjectStoreKind, Settings
from tests.e2e.noisy_digits import NoisyDigits
from tests.e2e.processes import serving, wait_until_settled
from tests.e2e.requests import LINEAGE, register, submit
from tests.servers import S3Server


def test_a_release_is_published_to_s3(tmp_path: Path, digits: NoisyDigits, s3_server: S3Server) -> None:
    home = tmp_path / "service"
    place = {
        "UNLEARN_OBJECT_STORE": "s3",
        "UNLEARN_S3_BUCKET": s3_server.bucket,
        "UNLEARN_S3_PREFIX": "end-to-end",
        "UNLEARN_S3_ENDPOINT_URL": s3_server.endpoint_url,
        "UNLEARN_S3_ACCESS_KEY_ID": s3_server.access_key_id,
        "UNLEARN_S3_SECRET_ACCESS_KEY": s3_server.secret_access_key,
    }
    objects = build_objects(
        Settings(
            data_dir=home,
            object_store=ObjectStoreKind.S3,
            s3_bucket=s3_server.bucket,
            s3_prefix="end-to-end",
            s3_endpoint_url=s3_server.endpoint_url,
            s3_access_key_id=SecretStr(s3_server.access_key_id),
            s3_secret_access_key=SecretStr(s3_server.secret_access_key),
        )
    )
    with serving(home, place) as server:
        with connect(server.grpc) as client:
            register(client, home, digits, objects=objects)
            ticket_id = submit(client, digits.forget_ids).ticket_id
        ticket = wait_until_settled(server.grpc, ticket_id)

    assert ticket.state == ticket_pb.TICKET_STATE_SUCCEEDED, [reason.text for reason in ticket.reasons]
    pointer = json.loads(objects.read(pointer_key(LINEAGE)))
    report = json.loads(objects.read(report_key(LINEAGE, ticket.run_id, "json")))
    published = hashlib.sha256(objects.read(pointer["weights"])).hexdigest()
    assert pointer["release"] == ticket.release_number == 2
    assert published == pointer["sha256"] == report["subjects"]["candidate"]
    assert not (home / "objects").exists()
    secret = s3_server.secret_access_key.encode()
    assert not any(secret in path.read_bytes() for path in home.rglob("*") if path.is_file())
