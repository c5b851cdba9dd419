"""Things that do not fit together end with a clear reason; nothing is published and nothing is lost."""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mcu_core.config import ArchitectureConfig
from service.client import ApiError, connect
from service.pb.unlearning.v1 import model_service_pb2 as service_pb
from service.pb.unlearning.v1 import ticket_pb2 as ticket_pb
from tests.e2e.noisy_digits import ARCHITECTURE, NoisyDigits
from tests.e2e.processes import serving, wait_until_settled
from tests.e2e.requests import LINEAGE, register, submit


def _with_column(digits: NoisyDigits, path: Path, column: str, row: int, value: object) -> NoisyDigits:
    """Return the data set with one value of the manifest replaced."""
    table = pq.read_table(digits.manifest)
    values = table[column].to_pylist()
    values[row] = value
    index = table.schema.get_field_index(column)
    pq.write_table(table.set_column(index, column, pa.array(values, table.schema.field(column).type)), path)
    return replace(digits, manifest=path)


@pytest.mark.parametrize(
    ("architecture", "broken_image", "told"),
    [
        (ARCHITECTURE, True, "cannot be decoded"),
        (ARCHITECTURE.model_copy(update={"classes": 12}), False, "expected"),
        (ARCHITECTURE.model_copy(update={"mean": (0.9,), "std": (0.05,)}), False, "train accuracy"),
    ],
    ids=["corrupt image", "output width", "wrong normalisation"],
)
def test_a_run_that_cannot_work_needs_attention(
    architecture: ArchitectureConfig, broken_image: bool, told: str, tmp_path: Path, digits: NoisyDigits
) -> None:
    data = _with_column(digits, tmp_path / "broken.parquet", "image", 3, b"\x89PNG no") if broken_image else digits
    with serving(tmp_path / "service") as server:
        with connect(server.grpc) as client:
            register(client, server.home, data, architecture)
            ticket_id = submit(client, digits.forget_ids).ticket_id
        ticket = wait_until_settled(server.grpc, ticket_id)
        with connect(server.grpc) as client:
            releases = client.models.ListReleases(service_pb.ListReleasesRequest(lineage=LINEAGE)).releases

    assert ticket.state == ticket_pb.TICKET_STATE_NEEDS_ATTENTION
    assert told in ticket.reasons[0].text
    assert [release.release_number for release in releases] == [1]


def test_a_label_that_the_model_cannot_answer_is_refused_at_registration(tmp_path: Path, digits: NoisyDigits) -> None:
    data = _with_column(digits, tmp_path / "labels.parquet", "label", 5, 10)
    with serving(tmp_path / "service") as server, pytest.raises(ApiError) as caught, connect(server.grpc) as client:
        register(client, server.home, data)
    assert "labels up to 10" in str(caught.value)


@pytest.mark.parametrize("damage", ["truncated", "hostile header"])
def test_weights_that_are_no_safetensors_are_refused_at_registration(
    damage: str, tmp_path: Path, digits: NoisyDigits
) -> None:
    weights = tmp_path / "weights.safetensors"
    shutil.copy(digits.weights, weights)
    content = weights.read_bytes()
    weights.write_bytes(content[:-100] if damage == "truncated" else (2**62).to_bytes(8, "little") + content[8:])
    data = replace(digits, weights=weights)
    with serving(tmp_path / "service") as server, pytest.raises(ApiError) as caught, connect(server.grpc) as client:
        register(client, server.home, data)
    assert "safetensors" in str(caught.value)


def test_the_same_request_id_with_other_samples_is_refused(tmp_path: Path, digits: NoisyDigits) -> None:
    with serving(tmp_path / "service") as server, connect(server.grpc) as client:
        register(client, server.home, digits)
        first = submit(client, digits.train_ids[:2], request_id="once")
        again = submit(client, digits.train_ids[:2], request_id="once")
        with pytest.raises(ApiError) as caught, connect(server.grpc) as other:
            submit(other, digits.train_ids[:3], request_id="once")
    assert again.ticket_id == first.ticket_id
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_every_training_sample_cannot_be_forgotten(tmp_path: Path, digits: NoisyDigits) -> None:
    with serving(tmp_path / "service") as server:
        with connect(server.grpc) as client:
            register(client, server.home, digits)
        with pytest.raises(ApiError) as caught, connect(server.grpc) as client:
            submit(client, digits.train_ids)
    assert caught.value.reason == "FORGET_SET_TOO_LARGE"


def test_a_second_service_on_the_same_data_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "service"
    with serving(home), pytest.raises(AssertionError, match="another service runs"), serving(home):
        pass
