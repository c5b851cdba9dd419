import hashlib
import json
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from mcu_core import checkpoint
from mcu_core.errors import ArchitectureError, CheckpointError
from mcu_core.models import build
from mcu_core.types import Pathway, Problem, State
from tests.cases import TINY


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def load(content: bytes) -> State:
    return checkpoint.load(content, build(TINY), expected_digest=sha256(content))


def with_tensors(problem: Problem, **changed: Tensor | None) -> bytes:
    tensors = {**problem.original.params, **problem.original.buffers}
    for name, tensor in changed.items():
        key = name.replace("__", ".")
        tensors.pop(key, None)
        if tensor is not None:
            tensors[key] = tensor
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()})


def test_a_state_survives_its_bytes(problem: Problem) -> None:
    state = load(checkpoint.to_bytes(problem.original))
    assert state.params.keys() == problem.original.params.keys()
    assert state.buffers.keys() == problem.original.buffers.keys()
    for name, tensor in {**problem.original.params, **problem.original.buffers}.items():
        assert torch.equal({**state.params, **state.buffers}[name], tensor)


def test_a_state_survives_a_file(problem: Problem, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    digest = checkpoint.save(problem.original, path)
    state = checkpoint.load(path, build(TINY), expected_digest=digest)
    assert checkpoint.digest(state) == digest == checkpoint.digest(problem.original)


def test_the_digest_depends_on_neither_order_nor_memory_layout(problem: Problem) -> None:
    turned = {name: problem.original.params[name] for name in reversed(list(problem.original.params))}
    turned = {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in turned.items()
    }
    other = State(params=turned, buffers=problem.original.buffers)
    assert checkpoint.digest(other) == checkpoint.digest(problem.original)


def test_the_digest_changes_with_one_bit(problem: Problem) -> None:
    params = dict(problem.original.params)
    params["head.bias"] = params["head.bias"].clone()
    params["head.bias"][0] = torch.nextafter(params["head.bias"][0], torch.tensor(9.0))
    assert checkpoint.digest(State(params=params, buffers=problem.original.buffers)) != checkpoint.digest(
        problem.original
    )


def test_bytes_of_another_digest_are_refused(problem: Problem) -> None:
    with pytest.raises(CheckpointError, match="expected 000"):
        checkpoint.load(checkpoint.to_bytes(problem.original), build(TINY), expected_digest="0" * 64)


def test_a_missing_file_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        checkpoint.load(tmp_path / "nothing", build(TINY), expected_digest="0" * 64)


@pytest.mark.parametrize("length", [0, 4, 8, 100, 1000, -1])
def test_a_truncated_file_is_refused(problem: Problem, length: int) -> None:
    with pytest.raises(CheckpointError, match="no well-formed safetensors"):
        load(checkpoint.to_bytes(problem.original)[:length])


def header(fields: object, claimed: int | None = None, body: bytes = b"") -> bytes:
    text = json.dumps(fields).encode()
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text + body


@pytest.mark.parametrize(
    "content",
    [
        header({}, claimed=2**63),
        header({}, claimed=10**9),
        header({"w": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 4]}}, body=b"1234"),
        header({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]}}, body=b"1234"),
        header({"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, body=b"1234"),
        header({"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, body=b"1234"),
        header({"w": {"dtype": "PY", "shape": [1], "data_offsets": [0, 4]}}, body=b"1234"),
        header(
            {
                "v": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            },
            body=b"1234",
        ),
        header([1, 2, 3]),
        b"\x80\x04\x95" + b"pickle" * 10,
    ],
    ids=["huge", "large", "overflow", "beyond", "backwards", "negative", "dtype", "overlap", "list", "pickle"],
)
def test_a_hostile_header_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError, match="no well-formed safetensors"):
        load(content)


def test_missing_tensors_are_named(problem: Problem) -> None:
    with pytest.raises(ArchitectureError, match=r"lack 1 tensors of the architecture: head\.bias"):
        load(with_tensors(problem, head__bias=None))


def test_extra_tensors_are_named(problem: Problem) -> None:
    with pytest.raises(ArchitectureError, match="lacks: backdoor"):
        load(with_tensors(problem, backdoor=torch.zeros(1)))


def test_a_wrong_output_width_is_named(problem: Problem) -> None:
    with pytest.raises(ArchitectureError, match=r"head\.bias is float32 \[10\], expected float32 \[3\]"):
        load(with_tensors(problem, head__bias=torch.zeros(10)))


def test_a_wrong_dtype_is_named(problem: Problem) -> None:
    with pytest.raises(ArchitectureError, match=r"head\.bias is float64 \[3\]"):
        load(with_tensors(problem, head__bias=torch.zeros(3, dtype=torch.float64)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(problem: Problem, value: float) -> None:
    with pytest.raises(CheckpointError, match=r"1 tensors hold numbers that are not finite: head\.bias"):
        load(with_tensors(problem, head__bias=torch.full((3,), value)))


def pathway(problem: Problem) -> Pathway:
    original = problem.original.params
    return Pathway(
        original=original,
        control={name: tensor + 1 for name, tensor in original.items()},
        end={name: tensor + 2 for name, tensor in original.items()},
        mask=frozenset({"head.bias", "conv.weight"}),
    )


def test_a_pathway_survives_its_bytes(problem: Problem) -> None:
    path = pathway(problem)
    content = checkpoint.pathway_to_bytes(path)
    again = checkpoint.load_pathway(content, path.original, expected_digest=sha256(content))
    assert again.mask == path.mask
    for t in (0.0, 0.3, 1.0):
        for name, tensor in path.at(t).items():
            assert torch.equal(tensor, again.at(t)[name])


def test_a_pathway_of_another_model_is_refused(problem: Problem) -> None:
    content = checkpoint.pathway_to_bytes(pathway(problem))
    with pytest.raises(ArchitectureError, match="control/"):
        checkpoint.load_pathway(content, {"other": torch.zeros(1)}, expected_digest=sha256(content))
