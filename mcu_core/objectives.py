"""Bounded objectives: make D_f look like data that the model never saw, instead of merely raising its loss."""

from collections.abc import Set as AbstractSet
from typing import assert_never

import torch
from torch import Tensor
from torch.nn import functional

from mcu_core.config import BoundedObjectiveConfig, QuantileConfig, ReferenceConfig
from mcu_core.errors import ConfigurationError
from mcu_core.inference import logits
from mcu_core.losses import distillation, label_logit, probability_logit
from mcu_core.runtime import Runtime
from mcu_core.training import Loss
from mcu_core.types import Batch, Problem

GRID = 101
"""Quantiles that a table holds: every percent, both ends included."""
LEAST_OF_CLASS = 20
"""Samples of a class in D_v for quantiles of its own; fewer take those of all classes together."""


def bounded_loss(problem: Problem, config: BoundedObjectiveConfig, *, runtime: Runtime) -> Loss:
    """Return the loss over mixed batches, L = CE(D_r) + λ w d(D_f); w is the batch's `forget_weight`.

    Args:
        problem: D_v and the original for `quantile`; the teacher for `reference`.
        config: which distance, and λ.
        runtime: network, samples, device and arithmetic.

    Returns:
        The loss.

    Raises:
        ConfigurationError: `reference` without a teacher.
    """
    match config:
        case QuantileConfig():
            table = validation_quantiles(problem, runtime, by_class=config.by_class)
            weight = config.weight

            def by_quantile(outputs: Tensor, batch: Batch) -> Tensor:
                return _retain_loss(outputs, batch) + weight * batch.forget_weight * quantile_distance(
                    outputs[: batch.forget_count], batch.labels[: batch.forget_count], table
                )

            return by_quantile
        case ReferenceConfig():
            return _by_reference(problem, config, runtime)
        case _:
            assert_never(config)


def _by_reference(problem: Problem, config: ReferenceConfig, runtime: Runtime) -> Loss:
    if problem.teacher is None:
        raise ConfigurationError(
            "the objective `reference` needs answers of models that never saw D_f: train references first, or take "
            "the objective `quantile`"
        )
    answers = without_classes(problem.teacher.forget, problem.gone_classes)
    score = probability_logit(answers, problem.data.labels[problem.forget]).float().to(runtime.device)
    answers = answers.to(runtime.device)

    def by_reference(outputs: Tensor, batch: Batch) -> Tensor:
        mixed = outputs[: batch.forget_count], batch.labels[: batch.forget_count]
        distance = reference_distance(*mixed, answers[batch.forget_indices], score[batch.forget_indices], config)
        return _retain_loss(outputs, batch) + config.weight * batch.forget_weight * distance

    return by_reference


def reference_distance(
    outputs: Tensor, labels: Tensor, answers: Tensor, score: Tensor, config: ReferenceConfig
) -> Tensor:
    """Return how far some samples are from what a model that never saw them answers.

    mean_i w_i KL(q_i ‖ p_i), w_i = 1 where φ_i > φ_q,i, else u

    With u = 1 this is plain distillation. It also teaches what the reference is sure of, so that D_f stays known while
    the model loses confidence in what it never saw: the two can still be told apart. With u near 0 a sample that looks
    unseen is left alone.

    Args:
        outputs: float32 logits `[n, K]` of the forget rows of one batch.
        labels: int64 `[n]`.
        answers: float32 `[n, K]`, probabilities q.
        score: float32 `[n]`, φ_q of the labels.
        config: temperature and u (`pull_up`).

    Returns:
        A scalar in nats, not negative.
    """
    with torch.no_grad():
        weight = torch.where(label_logit(outputs, labels) > score, 1.0, config.pull_up)
    return (weight * distillation(outputs, answers, config.temperature)).mean()


def _retain_loss(outputs: Tensor, batch: Batch) -> Tensor:
    return functional.cross_entropy(outputs[batch.forget_count :], batch.labels[batch.forget_count :])


def validation_quantiles(problem: Problem, runtime: Runtime, *, by_class: bool) -> Tensor:
    """Return how φ of the original is distributed over samples that it never saw.

    A class of which nothing remains in D_r is unseen to a model that never had D_f, though D_v still holds samples of
    it that the original knows. Its row is the φ of that label on D_v's samples of the other classes: what the original
    thinks of the label where there is no reason for it. Without that, class-wise deletion would leave D_f as it was.

    Args:
        problem: D_v, the original, and the labels of D_f and D_r.
        runtime: network, samples, device and arithmetic.
        by_class: whether classes with at least `LEAST_OF_CLASS` samples have a row of their own.

    Returns:
        float32 `[K, GRID]`, ascending along the rows: quantiles of φ by class.
    """
    labels = problem.data.labels[problem.validation]
    outputs = logits(runtime, problem.original, problem.validation).double()
    score = label_logit(outputs, labels)
    grid = torch.linspace(0.0, 1.0, GRID, dtype=torch.float64)
    table = score.quantile(grid).repeat(problem.architecture.classes, 1)
    if by_class:
        counts = torch.bincount(labels, minlength=problem.architecture.classes)
        for label in (counts >= LEAST_OF_CLASS).nonzero().flatten().tolist():
            table[label] = score[labels == label].quantile(grid)
    for label in problem.gone_classes:
        others = outputs[labels != label]
        if len(others):
            table[label] = label_logit(others, torch.full((len(others),), label)).quantile(grid)
    return table.float().to(runtime.device)


def without_classes(probabilities: Tensor, gone: AbstractSet[int]) -> Tensor:
    """Return what a model would answer that does not know some classes: p without them, rescaled to sum 1.

    Leave-out references lack samples, not classes: of a class that goes entirely they know the rest.

    Args:
        probabilities: float32 `[N, K]`.
        gone: classes, fewer than K.

    Returns:
        float32 `[N, K]`; uniform over the other classes where they had nothing.
    """
    if not gone:
        return probabilities
    kept = torch.ones(probabilities.shape[1])
    kept[sorted(gone)] = 0.0
    left = (probabilities * kept).clamp_min(torch.finfo(torch.float32).tiny) * kept
    return left / left.sum(dim=1, keepdim=True)


def quantile_distance(outputs: Tensor, labels: Tensor, table: Tensor) -> Tensor:
    """Return how far the φ of some samples lie from the quantiles that unseen samples have.

    mean_i smooth-L1(φ_i - Q_c(i)((r_i + ½) / n)), where r_i is the rank of sample i among the n by its standing within
    its own class, (φ_i - median_c) / (interquartile range of c): comparable between classes, and unlike a percentile
    still different beyond the largest φ of D_v, where memorised samples begin.

    Args:
        outputs: float32 logits `[n, K]` of the forget rows of one batch, all of one model.
        labels: int64 `[n]`.
        table: float32 `[K, GRID]`, see `validation_quantiles`.

    Returns:
        A scalar; its gradient is bounded in each φ, and pulls in both directions.
    """
    score = label_logit(outputs, labels)
    own = table[labels]
    with torch.no_grad():
        median, low, high = own[:, GRID // 2], own[:, GRID // 4], own[:, GRID - 1 - GRID // 4]
        standing = (score - median) / (high - low).clamp_min(1e-6)
        rank = standing.argsort(stable=True).argsort()
        place = (rank + 0.5) / len(score) * (GRID - 1)
        below = place.floor().long()
        share = place - below
        target = (
            own.gather(1, below.unsqueeze(1)).squeeze(1).lerp(own.gather(1, below.unsqueeze(1) + 1).squeeze(1), share)
        )
    return functional.smooth_l1_loss(score, target)
