import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mcu_core.audit.signals import SIGNALS, signals_of

classes = st.integers(2, 6)
seeds = st.integers(0, 10_000)


def drawn(seed: int, count: int, width: int, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, width, generator=rng), torch.randint(0, width, (count,), generator=rng)


def column(name: str, logits: Tensor, labels: Tensor) -> Tensor:
    return signals_of(logits, labels)[:, SIGNALS.index(name)]


def slowly(logits: list[float], label: int) -> list[float]:
    """Return the signals of one sample from its probabilities, term by term."""
    total = sum(math.exp(z) for z in logits)
    p = [math.exp(z) / total for z in logits]
    own = p[label]
    return [
        math.log(own / (1.0 - own)),
        own,
        math.log(own),
        sum(q * math.log(q) for q in p),
        (1.0 - own) * math.log(own) + sum(q * math.log(1.0 - q) for i, q in enumerate(p) if i != label),
    ]


@settings(max_examples=60, deadline=None)
@given(seeds, classes)
def test_signals_equal_their_formulas_term_by_term(seed: int, width: int) -> None:
    logits, labels = drawn(seed, 7, width)
    expected = [slowly(row, label) for row, label in zip(logits.double().tolist(), labels.tolist(), strict=True)]
    np.testing.assert_allclose(signals_of(logits, labels).numpy(), expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(seeds, classes)
def test_neither_order_nor_batch_changes_a_signal(seed: int, width: int) -> None:
    logits, labels = drawn(seed, 12, width)
    whole, order = signals_of(logits, labels), torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(signals_of(logits[order], labels[order]), whole[order])
    parts = [signals_of(logits[i : i + 1], labels[i : i + 1]) for i in range(12)]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)  # kernels by shape


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(3, 6))
def test_another_label_changes_what_knows_the_label_and_nothing_else(seed: int, width: int) -> None:
    logits, labels = drawn(seed, 9, width)
    other = (labels + 1) % width
    for name in ("phi", "confidence", "loss", "modified_entropy"):
        assert not torch.isclose(column(name, logits, labels), column(name, logits, other), atol=1e-9).any()
    assert torch.equal(column("entropy", logits, labels), column("entropy", logits, other))


@settings(max_examples=40, deadline=None)
@given(seeds, classes, st.floats(-50.0, 50.0))
def test_a_constant_added_to_all_logits_changes_nothing(seed: int, width: int, shift: float) -> None:
    logits, labels = drawn(seed, 5, width)
    moved = signals_of(logits.double() + shift, labels)
    torch.testing.assert_close(moved, signals_of(logits, labels), rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seeds, classes, st.floats(0.1, 5.0))
def test_a_surer_right_answer_is_more_like_a_member_by_every_signal(seed: int, width: int, more: float) -> None:
    logits, _ = drawn(seed, 8, width)
    labels = logits.argmax(dim=1)
    surer = logits.scatter_add(1, labels.unsqueeze(1), torch.full((8, 1), more))
    assert bool((signals_of(surer, labels) > signals_of(logits, labels)).all())


@pytest.mark.parametrize("size", [1e2, 1e4, 1e30, 3e38])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_extreme_logits_give_finite_signals(size: float, label: int) -> None:
    logits = torch.tensor([[size, 0.0, -size], [size, size, -size], [0.0, 0.0, 0.0]])
    signals = signals_of(logits, torch.full((3,), label))
    assert bool(signals.isfinite().all())
    assert bool((signals[:, 1:] <= 1.0).all())


def test_a_sure_wrong_answer_keeps_the_size_of_its_modified_entropy() -> None:
    # (1 - p_y) log p_y and p_i log(1 - p_i) of the answer: -800 each, where log(1 - p_i) of a rounded p_i is -inf.
    logits = torch.tensor([[800.0, 0.0]])
    assert column("modified_entropy", logits, torch.tensor([1])).item() == pytest.approx(-1600.0)


def test_signals_are_float64() -> None:
    assert signals_of(*drawn(0, 2, 3)).dtype == torch.float64
