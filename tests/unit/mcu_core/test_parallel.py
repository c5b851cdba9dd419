import pytest
import torch

from mcu_core.parallel import agree_, average_, joined, own_part, part_of, rank, ranks


@pytest.mark.parametrize("among", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 7, 12])
def test_the_mean_of_all_ranks_weighted_means_is_the_mean(count: int, among: int) -> None:
    values = torch.randn(count, dtype=torch.float64, generator=torch.Generator().manual_seed(count))
    parts = [part_of(count, index, among) for index in range(among)]
    assert {part.whole for part in parts} == {count}
    means = [part.weight * values[part.rows].mean() for part in parts]
    torch.testing.assert_close(torch.stack(means).mean(), values.mean())
    read = torch.cat([part.rows for part in parts if part.weight])
    assert sorted(read.tolist()) == list(range(count))


def test_a_process_alone_reads_everything_and_exchanges_nothing() -> None:
    part, tensor = own_part(5), torch.tensor([1.0, 2.0])
    with joined() as number:
        assert (number, rank(), ranks()) == (0, 0, 1)
        assert (part.rows.tolist(), part.weight) == ([0, 1, 2, 3, 4], 1.0)
        average_(tensor)
        agree_(tensor)
    assert tensor.tolist() == [1.0, 2.0]
