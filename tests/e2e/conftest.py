"""A model that has memorised something, trained once for all end-to-end tests."""

import pytest
import torch

from tests.e2e.noisy_digits import NoisyDigits, build


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> NoisyDigits:
    """Train the original on one thread: more of them only wait for each other on so small a network."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return build(tmp_path_factory.mktemp("digits"))
    finally:
        torch.set_num_threads(threads)
