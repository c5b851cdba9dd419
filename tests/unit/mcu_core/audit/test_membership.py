import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.audit.membership import label_logit


def test_the_signal_is_the_logit_of_the_label_probability() -> None:
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 4
    p = torch.softmax(logits.double(), 1)[torch.arange(50), labels].numpy()
    np.testing.assert_allclose(label_logit(logits, labels), np.log(p / (1 - p)), atol=1e-9)


def test_the_signal_is_exact_where_the_probability_rounds_to_one() -> None:
    logits = torch.tensor([[200.0, 0.0, -300.0], [0.0, 300.0, 0.0]])
    labels = torch.tensor([0, 0])
    np.testing.assert_allclose(label_logit(logits, labels), [200.0, -300.0], atol=1e-12)


@given(st.permutations(range(6)))
def test_the_signal_of_a_sample_depends_on_neither_order_nor_batch(order: list[int]) -> None:
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(
        label_logit(logits[order], labels[order]), label_logit(logits, labels)[np.array(order)]
    )


def test_another_label_gives_another_signal() -> None:
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    assert not np.isclose(label_logit(logits, labels), label_logit(logits, labels.roll(1))).any()
