from dataclasses import replace

import torch
from torch.nn import functional

from mcu_core.losses import ascend_and_descend, cross_entropy, distillation, label_logit
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


def test_the_label_logit_is_the_log_odds_of_the_label() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    own = logits.softmax(dim=1)[torch.arange(6), labels]
    torch.testing.assert_close(label_logit(logits, labels), (own / (1 - own)).log())


def test_the_label_logit_of_a_sure_answer_is_finite_with_a_gradient() -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    score = label_logit(logits, torch.tensor([0]))
    score.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    torch.testing.assert_close(score, torch.tensor([200.0 - torch.log(torch.tensor(2.0)).item()]))


def test_a_sample_beyond_the_ceiling_is_pushed_no_further() -> None:
    logits = torch.tensor([[0.0, 12.0], [1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    of_two = batch([0, 0, 1], 2)
    loss = ascend_and_descend(logits, of_two, 0.5, ceiling=10.0)
    plain = functional.cross_entropy(logits[1:2], of_two.labels[1:2])
    torch.testing.assert_close(loss, torch.tensor(2.0).log() - 0.5 * (10.0 + plain) / 2)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad[0].tolist() == [0.0, 0.0]
    assert float(logits.grad[1].abs().min()) > 0.0
    torch.testing.assert_close(
        ascend_and_descend(logits, of_two, 0.5, ceiling=1e3), ascend_and_descend(logits, of_two, 0.5)
    )


def test_distillation_is_the_divergence_of_the_softened_answers() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, teacher_logits = (torch.randn(5, 3, generator=generator) for _ in range(2))
    p, q = (part / 2.0 for part in (logits, teacher_logits))
    expected = 4.0 * (q.softmax(1) * (q.log_softmax(1) - p.log_softmax(1))).sum(1)
    torch.testing.assert_close(distillation(logits, teacher_logits.softmax(1), 2.0), expected)


def test_a_teacher_that_is_certain_costs_a_finite_amount() -> None:
    teacher = torch.tensor([[1.0, 0.0]])
    logits = torch.tensor([[0.0, 0.0]], requires_grad=True)
    loss = distillation(logits, teacher, 1.0).mean()
    torch.testing.assert_close(loss, torch.tensor(2.0).log())
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.5, 0.5]]))
