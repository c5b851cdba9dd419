"""What the connectivity study finds, as JSON. Accuracies and rates are fractions, losses are in nats."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mcu_core.config import ArchitectureConfig, ConnectionConfig
from mcu_core.report import Digest, Environment, Part


class PathKind(StrEnum):
    """How two models are connected."""

    LINEAR = "linear"
    """The straight line."""
    QUADRATIC = "quadratic"
    """A quadratic Bezier curve with a trained control point."""


class Similarity(Part):
    """How alike a point and an end of its path work."""

    forget_agreement: float
    """Share of D_f that both answer with the same class."""
    test_agreement: float
    forget_cka: float | None
    """Linear CKA of penultimate features on D_f; `None` where it is not defined, see `similarity.linear_cka`."""
    test_cka: float | None


class ChangedInputs(Part):
    """What a model makes of counterfactual versions of samples of D_t."""

    accuracy: float
    loss: float
    unchanged: float
    """Share of samples whose counterfactual it answers as it answers the sample."""


class ConnectionPoint(Part):
    """One model on a path, with BatchNorm statistics of D_r."""

    t: float
    unlearning_accuracy: float
    """UA = 1 - accuracy on D_f."""
    class_unlearning_accuracy: float | None
    """UA_test, the same on test images of the classes that D_r has nothing of; `None` where there are none."""
    retain_accuracy: float
    """RA."""
    test_accuracy: float
    """TA, without the classes that D_r has nothing of."""
    membership: float
    """MIA: share of D_f that SalUn's attack calls non-member."""
    membership_gap: float
    """Its distance from the same rate on samples of D_v in D_f's class proportions, which no training has read."""
    forget_loss: float
    """CE(D_f)."""
    retain_loss: float
    """CE(D_r)."""
    objective: float
    """CE(D_r) - beta CE(D_f): what the curve is trained on."""
    first: Similarity
    """To the model at t = 0."""
    second: Similarity
    """To the model at t = 1."""
    mirrored: ChangedInputs
    restyled: ChangedInputs


class Summary(Part):
    """One quantity along one path; see `barrier.Deviation`."""

    quantity: str
    at_first: float
    at_second: float
    rise: float
    """Highest above the straight line of the ends: of a loss, the barrier."""
    rise_at: float
    dip: float
    """Deepest below it: of an accuracy, the barrier."""
    dip_at: float
    fluctuation: float
    """Root mean square of the distance from the line, between the ends."""


class PathReport(Part):
    """One path."""

    kind: PathKind
    points: Annotated[tuple[ConnectionPoint, ...], Field(min_length=3)]
    """By ascending t, both ends included."""
    summaries: tuple[Summary, ...]
    seconds: float
    """Wall time of measuring; the curve's training may have been an earlier run's."""


class End(Part):
    """One of the two models."""

    name: str
    """For people: how it was made."""
    digest: Digest
    """SHA-256 of its safetensors file."""


class Connection(Part):
    """The connectivity study of two models."""

    first: End
    second: End
    architecture: ArchitectureConfig
    config: ConnectionConfig
    seed: int
    forget_count: int
    retain_count: int
    distance: float
    """‖θ_a - θ_b‖₂."""
    size: float
    """(‖θ_a‖₂ + ‖θ_b‖₂) / 2, to compare it with."""
    paths: tuple[PathReport, ...]
    environment: Environment
