"""Leave-out references: models of the training data of which each sample was kept from one.

A family is trained once for a training set and serves every ticket on it: whatever is to be forgotten, some member of
the family has never seen it. The family that teaches must not be the one that audits, or the audit would find what it
taught; two seeds make two families.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mcu_core.config import ReferenceFamilyConfig
from mcu_core.errors import DataError
from mcu_core.heldout import keyed_uniforms
from mcu_core.inference import logits
from mcu_core.losses import label_logit
from mcu_core.methods.retrain import train_from_scratch
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Progress, State, Teacher, ignore_progress


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReferenceFamily:
    """Models of one training set with its samples dealt to folds; model k never saw fold k."""

    rows: Tensor
    """int64 `[N]`, the training set, ascending."""
    folds: Tensor
    """int64 `[N]`, fold of each of `rows`."""
    models: tuple[State, ...]
    """One by fold."""

    def folds_of(self, rows: Tensor) -> Tensor:
        """Return the fold of each of `rows`, int64 `[n]`; what is no training sample is dealt to folds by its position.

        Every model is without those, so any would do; taking turns gives them the same mixture of models as the others.
        """
        place = torch.searchsorted(self.rows, rows).clamp_max(len(self.rows) - 1)
        return torch.where(self.rows[place] == rows, self.folds[place], rows % len(self.models))

    def answers(self, runtime: Runtime, rows: Tensor) -> Tensor:
        """Return what the model that never saw it answers to each sample.

        Args:
            runtime: network, samples, device and arithmetic.
            rows: int64 `[n]`, training samples or others.

        Returns:
            Logits, float32 `[n, K]` on the CPU.
        """
        folds = self.folds_of(rows)
        result = torch.empty(len(rows), runtime.reader.architecture.classes)
        for fold, model in enumerate(self.models):
            chosen = (folds == fold).nonzero().squeeze(1)
            if len(chosen):
                result[chosen] = logits(runtime, model.to(runtime.device), rows[chosen])
        return result


def deal_folds(count: int, folds: int, rng: torch.Generator) -> Tensor:
    """Deal samples to folds of nearly equal size at random.

    Args:
        count: N samples.
        folds: at least 2, at most N.
        rng: of the deal.

    Returns:
        int64 `[N]` in `[0, folds)`.

    Raises:
        DataError: a fold would be empty, or everything.
    """
    if not 2 <= folds <= count:
        raise DataError(f"{count} samples cannot be dealt to {folds} folds: take 2 to {count}")
    return torch.randperm(count, generator=rng) % folds


def folds_of_subjects(keys: Sequence[str], key: bytes, folds: int) -> Tensor:
    """Deal samples to folds by a keyed hash of their subject, so that all samples of a person go together.

    fold = floor(K u), u the subject's keyed number in [0, 1): see `heldout.keyed_uniforms`. Which fold a subject is in
    depends on nothing but the subject and the key; the sizes of the folds are binomial, not equal.

    Args:
        keys: subject of each of N samples, or the sample's own id where it has none.
        key: secret of 1 to 64 bytes, so that nobody can choose ids that land in one fold.
        folds: K, at least 2.

    Returns:
        int64 `[N]` in `[0, folds)`.

    Raises:
        DataError: a fold would be empty: there are too few subjects for so many folds.
        ConfigurationError: the key is empty or longer than 64 bytes.
    """
    subjects = len(set(keys))
    if not 2 <= folds <= subjects:
        raise DataError(f"{subjects} subjects cannot be dealt to {folds} folds: take 2 to {subjects}")
    dealt = (keyed_uniforms(keys, key) * folds).long()
    empty = int((torch.bincount(dealt, minlength=folds) == 0).sum())
    if empty:
        raise DataError(f"{empty} of {folds} folds got none of {subjects} subjects: take fewer folds or another seed")
    return dealt


def train_reference(
    runtime: Runtime,
    rows: Tensor,
    config: ReferenceFamilyConfig,
    fold: int,
    *,
    folds: Tensor | None = None,
    progress: Progress = ignore_progress,
) -> State:
    """Train the member of a family that never sees one fold.

    Args:
        runtime: network, samples, device and arithmetic.
        rows: int64 `[N]`, the whole training set.
        config: folds, recipe and seed of the family.
        fold: which is left out, in `[0, folds)`.
        folds: int64 `[N]`, fold of each of `rows` in ascending order; `None` deals them by the seed.
        progress: told at every step.

    Returns:
        The model.

    Raises:
        DivergedError: the recipe does not train this network.
    """
    dealt = _dealt(rows, config) if folds is None else folds
    kept = rows.sort().values[dealt != fold]
    rng = stream(config.seed, f"reference {fold}")
    return train_from_scratch(runtime, kept, config.recipe, rng, progress=progress)


def assemble_family(
    rows: Tensor, config: ReferenceFamilyConfig, models: Sequence[State], *, folds: Tensor | None = None
) -> ReferenceFamily:
    """Return the family whose members `train_reference` has made, one by fold.

    Args:
        rows: int64 `[N]`, the whole training set.
        config: with which the members were trained.
        models: of fold 0, 1, ….
        folds: as `train_reference` was given.

    Returns:
        The family.

    Raises:
        DataError: there are more or fewer models than folds.
    """
    if len(models) != config.folds:
        raise DataError(f"a family of {config.folds} folds needs as many models, got {len(models)}")
    dealt = _dealt(rows, config) if folds is None else folds
    return ReferenceFamily(rows=rows.sort().values, folds=dealt, models=tuple(models))


def _dealt(rows: Tensor, config: ReferenceFamilyConfig) -> Tensor:
    """Return the fold of each row in ascending order, int64 `[N]`, by the seed."""
    return deal_folds(len(rows), config.folds, stream(config.seed, "folds"))


def teacher_of(families: Sequence[ReferenceFamily], runtime: Runtime, forget: Tensor, validation: Tensor) -> Teacher:
    """Return what models that never saw it answer to each sample of D_f and of D_v, averaged over families.

    p_ref(x) = mean over families of softmax(z), z the logits of the member that never saw x

    Args:
        families: at least one; none that audits.
        runtime: network, samples, device and arithmetic.
        forget: int64 `[n_f]`, D_f.
        validation: int64 `[n_v]`, D_v.

    Returns:
        Probabilities on the CPU: `Problem.teacher`.
    """
    forget_answers, validation_answers = (
        torch.stack([family.answers(runtime, rows).softmax(dim=1) for family in families]).mean(dim=0)
        for rows in (forget, validation)
    )
    return Teacher(forget=forget_answers, validation=validation_answers)


def calibrated_scores(
    family: ReferenceFamily, runtime: Runtime, rows: Tensor, answers: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return φ minus the φ of a model that never saw the sample: what is left is the trace, not how hard the sample is.

    s(x) = φ(x; θ) - φ(x; θ_ref)

    Args:
        family: of the audit; none that taught.
        runtime: network, samples, device and arithmetic.
        rows: int64 `[n]`, training samples or others.
        answers: gives the audited model's logits `[n, K]` of the rows.

    Returns:
        float64 `[n]`.

    Source: Watson et al., "On the importance of difficulty calibration in membership inference attacks",
        arXiv 2111.08440, equation 4, with one reference a sample.
    """
    labels = runtime.reader.data.labels[rows]
    own = label_logit(answers(rows).double(), labels)
    return own - label_logit(family.answers(runtime, rows).double(), labels)
