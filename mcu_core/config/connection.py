"""Settings of the connectivity study: the curve between two unlearned models and how it is measured."""

from typing import Annotated

from pydantic import Field, model_validator

from mcu_core.config.base import Precision, Setting, TrainConfig


class ConnectionConfig(Setting):
    """A curve between two models, both fixed, and what is measured along it."""

    train: TrainConfig = TrainConfig(epochs=10, learning_rate=0.01, weight_decay=0.0)
    """Of the control point of the quadratic curve; the straight line has none."""
    beta: Annotated[float, Field(ge=0.0, le=10.0)] = 0.15
    """Weight of the ascent on D_f in what the curve is trained on, CE(D_r) - beta CE(D_f): that of NegGrad+. 0 connects
    through models that are good on D_r, whatever they remember."""
    points: Annotated[int, Field(ge=3, le=201)] = 21
    """Equally spaced t in [0, 1], both ends included."""
    batchnorm_images: Annotated[int, Field(ge=2)] = 512
    """Images of D_r that re-estimate BatchNorm statistics at each point."""
    retain_images: Annotated[int, Field(ge=2)] = 2048
    """Images of D_r (seeded sample) that are measured on, and members of the membership attack."""
    test_images: Annotated[int, Field(ge=2)] = 2048
    """Images of D_t (seeded sample) that are measured on, and non-members of the attack."""
    similarity_images: Annotated[int, Field(ge=2)] = 1024
    """Of these, images of D_f and of D_t each whose features are compared, and images of D_t that are changed."""
    svc_samples: Annotated[int, Field(ge=2, le=10_000)] = 1000
    """Cap on members and on non-members of the attack at each point, each; it is fitted anew at every point."""
    precision: Precision = Precision.AUTO
    """Arithmetic of the curve's training; what is measured is always measured in float32."""
    evaluation_batch: Annotated[int, Field(ge=1)] = 128
    """Images a forward pass without gradient."""

    @model_validator(mode="after")
    def _no_curriculum(self) -> "ConnectionConfig":
        if self.train.curriculum_start != 1.0:
            raise ValueError("train.curriculum_start must be 1: a curve belongs to no single scoring model")
        return self
