"""Two processes against one, over gloo on the loopback interface."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.ranks import CASES, train

TOLERANCE = 1e-6
"""float32: two ranks add the same terms in another order."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    folder = tmp_path_factory.mktemp("ranks")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            "-m",
            "tests.ranks",
            folder,
        ],
        check=True,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())},
        timeout=200,
    )
    return load_file(folder / "0.safetensors"), load_file(folder / "1.safetensors")


def test_two_ranks_end_with_the_same_bits(results: tuple[dict[str, Tensor], dict[str, Tensor]]) -> None:
    first, second = results
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_do_what_one_process_does_with_the_doubled_batch(
    name: str, results: tuple[dict[str, Tensor], dict[str, Tensor]]
) -> None:
    state, counts = train(CASES[name])
    found = {key.removeprefix(f"{name}/"): value for key, value in results[0].items() if key.startswith(f"{name}/")}
    assert {key: int(value) for key, value in found.items() if key.startswith("beta ")} == {
        f"beta {value}": count for value, count in counts.items()
    }
    if CASES[name].method is None:
        assert len(counts) > 1  # so that a β by one rank's accuracies alone would show
    for key, tensor in state.items():
        torch.testing.assert_close(found[key], tensor, atol=TOLERANCE, rtol=0.0)
