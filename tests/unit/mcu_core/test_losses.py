from dataclasses import replace

import torch

from mcu_core.losses import ascend_and_descend, cross_entropy
from mcu_core.types import Batch


def batch(labels: list[int], forget_count: int) -> Batch:
    return Batch(images=torch.empty(len(labels), 1, 1, 1), labels=torch.tensor(labels), forget_count=forget_count)


def test_each_part_is_a_mean_over_its_own_rows() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    mixed = batch([0, 1, 2, 0, 1], 2)
    own = [-torch.log_softmax(row, dim=0)[label] for row, label in zip(logits, mixed.labels, strict=True)]
    expected = sum(own[2:]) / 3 - 0.3 * sum(own[:2]) / 2
    torch.testing.assert_close(ascend_and_descend(logits, mixed, 0.3), expected)


def test_the_forget_rows_weigh_as_their_batch_says() -> None:
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    mixed = batch([0, 1, 2], 1)
    halved = ascend_and_descend(logits, replace(mixed, forget_weight=0.5), 0.4)
    torch.testing.assert_close(halved, ascend_and_descend(logits, mixed, 0.2))


def test_without_ascent_only_the_retain_rows_count() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    loss = ascend_and_descend(logits, batch([0, 1, 2, 0], 1), 0.0)
    torch.testing.assert_close(loss, cross_entropy(logits[1:], batch([1, 2, 0], 0)))
