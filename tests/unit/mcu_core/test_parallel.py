from collections import Counter

import pytest
import torch

from mcu_core.parallel import agree_, average_, joined, rank, ranks, share, share_of


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [1, 2, 7, 12])
def test_all_ranks_together_read_every_row_and_equally_many(size: int, count: int) -> None:
    rows = torch.arange(100, 100 + size)
    parts = [share_of(rows, index, count) for index in range(count)]
    assert len({len(part) for part in parts}) == 1
    read = Counter(torch.cat(parts).tolist())
    assert set(read) == set(rows.tolist())
    assert max(read.values()) - min(read.values()) <= 1


def test_ranks_that_divide_a_batch_read_each_row_once() -> None:
    rows = torch.arange(12)
    assert sorted(torch.cat([share_of(rows, index, 3) for index in range(3)]).tolist()) == rows.tolist()


def test_a_process_alone_reads_everything_and_exchanges_nothing() -> None:
    rows, tensor = torch.arange(5), torch.tensor([1.0, 2.0])
    with joined() as number:
        assert (number, rank(), ranks()) == (0, 0, 1)
        assert share(rows) is rows
        average_(tensor)
        agree_(tensor)
    assert tensor.tolist() == [1.0, 2.0]
