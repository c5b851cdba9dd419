"""The unlearning penalty: fixed, or adapted at every batch. Decided on the device."""

import torch
from torch import Tensor

from mcu_core.config import AdaptiveBetaConfig, BetaConfig, BetaRule, FixedBetaConfig
from mcu_core.parallel import average_
from mcu_core.report import References
from mcu_core.types import Batch


def adaptive_beta(
    forget_accuracy: Tensor, retain_accuracy: Tensor, references: References, config: AdaptiveBetaConfig
) -> Tensor:
    """Return the penalty for one batch.

    0 if A_f ≤ A_v; else `mild` if (A_f - A_v)/A_v < r; else `strong`, where r is (A_r - A_train)/A_train as printed and
    (A_train - A_r)/A_train as intended. With A_v = 0, as for class-wise deletion, the second case is false.

    Args:
        forget_accuracy: A_f, scalar in [0, 1].
        retain_accuracy: A_r, scalar in [0, 1].
        references: A_v and A_train.
        config: rule and the two penalties.

    Returns:
        A float32 scalar on the same device; nothing waits for it.

    Source: arXiv 2505.10859, section 2.4. As printed the second case needs A_r > A_train, so it practically never
        fires; the text around it ("the degradation on D_r is more severe") describes `intended`.
    """
    reference_forget, reference_retain = references.validation_accuracy, references.train_accuracy
    forgotten = forget_accuracy <= reference_forget
    excess = (forget_accuracy - reference_forget) / max(reference_forget, torch.finfo(torch.float32).tiny)
    change = (retain_accuracy - reference_retain) / max(reference_retain, torch.finfo(torch.float32).tiny)
    retain_side = change if config.rule is BetaRule.PRINTED else -change
    is_mild = (excess < retain_side) & torch.full_like(forgotten, fill_value=reference_forget > 0.0)
    strong = torch.full_like(forget_accuracy, config.strong, dtype=torch.float32)
    penalty = torch.where(is_mild, config.mild, strong)
    return torch.where(forgotten, 0.0, penalty)


class Penalty:
    """β from batch to batch, and how often it had which value.

    All of it are tensors on the device, changed in place, so that a CUDA graph can hold it; nothing waits for them
    until `counts` is called. With several ranks the accuracies are those of the whole batch, and β is the same on all.
    """

    def __init__(self, config: BetaConfig, references: References) -> None:
        self._config = config
        self._references = references
        match config:
            case FixedBetaConfig():
                values = [config.value]
            case AdaptiveBetaConfig():
                values = sorted({0.0, config.mild, config.strong})
        self._values = torch.tensor(values)
        self._counts = torch.zeros(len(values), dtype=torch.int64)
        self._smoothed: Tensor | None = None

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return β for a batch, from that batch's own answers.

        Args:
            logits: float32 `[N, K]` without gradient, of the same train-mode forward that the loss uses.
            batch: the first `forget_count` rows are D_f's.

        Returns:
            A scalar without gradient.
        """
        if self._values.device != logits.device:
            self._values, self._counts = self._values.to(logits.device), self._counts.to(logits.device)
        match self._config:
            case FixedBetaConfig():
                beta = self._values[0]
            case AdaptiveBetaConfig():
                forget, retain = self._accuracies(logits, batch, self._config.smoothing)
                beta = adaptive_beta(forget, retain, self._references, self._config)
        self._counts += self._values == beta
        return beta

    def counts(self) -> dict[str, int]:
        """Return how many batches used which β."""
        pairs = zip(self._values.tolist(), self._counts.tolist(), strict=True)
        return {f"{value:g}": count for value, count in pairs if count}

    def _accuracies(self, logits: Tensor, batch: Batch, smoothing: float) -> tuple[Tensor, Tensor]:
        """Return A_f and A_r: a ← s·a_before + (1 - s)·a_batch, from the first batch's own."""
        right = (logits.argmax(dim=1) == batch.labels).float()
        now = torch.stack([right[: batch.forget_count].mean(), right[batch.forget_count :].mean()])
        if (batch.forget_rank_weight, batch.rank_weight) != (1.0, 1.0):
            now = torch.stack([now[0] * batch.forget_rank_weight, now[1] * batch.rank_weight])
        average_(now)
        if smoothing > 0.0:
            if self._smoothed is None:
                self._smoothed = now.clone()
            else:
                self._smoothed.lerp_(now, 1.0 - smoothing)
            now = self._smoothed
        forget, retain = now.unbind()
        return forget, retain
