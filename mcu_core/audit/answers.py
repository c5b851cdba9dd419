"""Forward passes of the audit: every sample once, whatever number of models is asked."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mcu_core import checkpoint
from mcu_core.audit.signals import SIGNALS, signals_of
from mcu_core.errors import DivergedError
from mcu_core.images import SealedSamples
from mcu_core.inference import each_output
from mcu_core.runtime import Runtime
from mcu_core.statistics.scores import ModelScores, ReferenceScores
from mcu_core.types import State


class Family(Protocol):
    """Leave-out references: see `mcu_core.references.ReferenceFamily`."""

    @property
    def models(self) -> Sequence[State]:
        """Return the models, one by fold; model k never saw fold k."""

    def folds_of(self, rows: Tensor) -> Tensor:
        """Return the fold of each of `rows`, int64 `[n]`; what no model saw takes turns."""


def unsealed(runtime: Runtime, sealed: SealedSamples) -> Runtime:
    """Return the same runtime over samples that the audit alone may read."""
    return replace(runtime, reader=replace(runtime.reader, data=sealed.open()))


@dataclass(slots=True, eq=False)
class KnownAnswers:
    """What models said before of samples of one data set, for audits of several candidates of one original.

    Kept under the digest of weights, rows, labels and arithmetic, never under a name, and in memory only: these are
    numbers about deleted people.
    """

    _scores: dict[str, ModelScores] = field(default_factory=dict)

    def find(self, key: str) -> ModelScores | None:
        """Return the scores that are kept under a key."""
        return self._scores.get(key)

    def keep(self, key: str, scores: ModelScores) -> None:
        """Keep scores under a key."""
        self._scores[key] = scores


def _key(runtime: Runtime, state: State, rows: Tensor) -> str:
    data = runtime.reader.data
    parts = (rows.cpu().numpy().tobytes(), data.labels[rows].cpu().numpy().tobytes(), str(runtime.dtype).encode())
    return hashlib.sha256(b"".join([checkpoint.digest(state).encode(), *parts])).hexdigest()


def scores_of(
    runtime: Runtime,
    states: Sequence[State],
    rows: Tensor,
    *,
    known: KnownAnswers | None = None,
    tick: Callable[[], None] = lambda: None,
) -> list[ModelScores]:
    """Return what several models say of the same samples, in eval mode and by the test transform.

    Args:
        runtime: the network that they share, samples, device and arithmetic.
        states: on that device.
        rows: int64 `[N]`; a score does not depend on their order.
        known: answers of before, asked for first and added to; `None` keeps none.
        tick: called after each batch.

    Returns:
        The scores of each model.

    Raises:
        DivergedError: an output is not finite.
    """
    if known is None:
        return _asked(runtime, states, rows, tick=tick)
    keys = [_key(runtime, state, rows) for state in states]
    unknown = {key: state for key, state in zip(keys, states, strict=True) if known.find(key) is None}
    fresh = _asked(runtime, list(unknown.values()), rows, tick=tick) if unknown else []
    for key, scores in zip(unknown, fresh, strict=True):
        known.keep(key, scores)
    return [scores for scores in map(known.find, keys) if scores is not None]


def _asked(runtime: Runtime, states: Sequence[State], rows: Tensor, *, tick: Callable[[], None]) -> list[ModelScores]:
    points = [((lambda params=state.params: params), state.buffers) for state in states]
    signals: list[list[Tensor]] = [[] for _ in states]
    predictions: list[list[Tensor]] = [[] for _ in states]
    wrong = torch.zeros(len(states), dtype=torch.int64, device=runtime.device)
    with torch.inference_mode():
        for index, batch, outputs in each_output(runtime, runtime.network(), points, rows, tick=tick):
            signals[index].append(signals_of(outputs, batch.labels))
            predictions[index].append(outputs.argmax(dim=1))
            wrong[index] += (~outputs.isfinite()).any(dim=1).sum()
    if int(wrong.sum()):
        raise DivergedError(f"a model's output is not finite on {int(wrong.max())} of {len(rows)} samples")
    return [_model_scores(*parts) for parts in zip(signals, predictions, strict=True)]


def _model_scores(signals: Sequence[Tensor], predictions: Sequence[Tensor]) -> ModelScores:
    columns = torch.cat(list(signals)).cpu().numpy()
    return ModelScores(
        **{name: np.ascontiguousarray(columns[:, index]) for index, name in enumerate(SIGNALS)},
        prediction=torch.cat(list(predictions)).cpu().numpy(),
    )


def reference_scores(
    runtime: Runtime,
    families: Sequence[Family],
    rows: Tensor,
    *,
    known: KnownAnswers | None = None,
    tick: Callable[[], None] = lambda: None,
) -> ReferenceScores:
    """Return what models that never saw a sample say of it: one of each family, averaged over the families.

    Args:
        runtime: network, samples, device and arithmetic.
        families: at least one; none that taught the candidate.
        rows: int64 `[N]`, training samples or others.
        known: as for `scores_of`.
        tick: called after each batch.

    Returns:
        Mean φ and mean p_y of each sample.

    Raises:
        DivergedError: an output is not finite.
    """
    phi, confidence = np.zeros((2, len(rows)))
    for family in families:
        folds = family.folds_of(rows)
        for fold, model in enumerate(family.models):
            chosen = (folds == fold).nonzero().squeeze(1)
            if len(chosen):
                (scores,) = scores_of(runtime, [model.to(runtime.device)], rows[chosen], known=known, tick=tick)
                phi[chosen.numpy()] += scores.phi / len(families)
                confidence[chosen.numpy()] += scores.confidence / len(families)
    return ReferenceScores(phi=phi, confidence=confidence)
