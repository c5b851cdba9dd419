"""The settings of the paper's experiments (arXiv 2505.10859, appendix C), and those of one command."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from mcu_core.config import (
    BENCH_EPOCHS,
    ArchitectureConfig,
    AscentConfig,
    Augmentation,
    CurveConfig,
    FinetuneConfig,
    GradientAscentConfig,
    MethodConfig,
    NegGradPlusConfig,
    NegTaskVectorConfig,
    Precision,
    RandomLabelConfig,
    RetrainConfig,
    SalUnConfig,
    Seed,
    Setting,
    TrainConfig,
)
from mcu_core.experiments.cells import PathwayCell
from mcu_core.experiments.setup import Deletion, RandomShare, WholeClass, World, original_recipe

CLASS_CURVE_EPOCHS = 5
"""Of the curve where a class is forgotten."""
CLASS_SCALE = 0.2
"""Of NegTV where a class is forgotten."""
CLASS_CEILING = 10.0
"""Nats, of the ascents where a class is forgotten. Ours: without it NegGrad+ diverges on memorised data."""
CLASS_ASCENT_RATE = 1e-3
"""Of GA where a class is forgotten. Ours: with the rate of a random deletion nothing of the class is forgotten."""


class Study(Setting):
    """What the cells of one table or figure have in common."""

    data: str
    data_digest: str
    architecture: ArchitectureConfig
    train_images: int
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0, 1, 2)
    epochs: Annotated[int, Field(ge=1)] = BENCH_EPOCHS
    """Horizon of the originals' training."""
    augmentation: Augmentation = Augmentation.NONE
    """Of the images that originals, retrained models and references are trained on."""
    precision: Precision = Precision.AUTO
    share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """Of D_train that a random deletion forgets."""
    label: Annotated[int | None, Field(ge=0)] = None
    """Of the class that a class-wise deletion forgets; `None` takes class 0. `forgetting` forgets a class only where it
    is named."""
    count: Annotated[int | None, Field(ge=1)] = None
    """Samples to forget in place of a share, for `forgetting`."""
    hardest: bool = False
    """Whether these are the hardest ones and no random ones, for `forgetting`."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Of the families of references, for `forgetting`."""
    method_epochs: Annotated[int | None, Field(ge=1)] = None
    """In place of every method's own number; to try a command out."""
    curve_epochs: Annotated[int | None, Field(ge=1)] = None
    """In place of the curve's own number; likewise."""

    def world(self, seed: int) -> World:
        """Return what the original of one seed depends on."""
        return World(
            data=self.data,
            data_digest=self.data_digest,
            architecture=self.architecture,
            train_images=self.train_images,
            seed=seed,
            recipe=self.recipe,
            precision=self.precision,
        )

    @property
    def recipe(self) -> RetrainConfig:
        """Return how everything that is trained from scratch is trained."""
        return original_recipe(self.epochs, self.augmentation)

    @property
    def random(self) -> RandomShare:
        """Return the random deletion."""
        return RandomShare(share=self.share)

    @property
    def whole_class(self) -> WholeClass:
        """Return the class-wise deletion."""
        return WholeClass() if self.label is None else WholeClass(label=self.label)

    def train(self, config: TrainConfig) -> TrainConfig:
        """Return a method's training with this study's number of epochs."""
        return config if self.method_epochs is None else config.model_copy(update={"epochs": self.method_epochs})

    def curve(self, deletion: Deletion, curve: CurveConfig) -> CurveConfig:
        """Return a curve with the number of epochs that the paper has for a deletion."""
        is_class = isinstance(deletion, WholeClass)
        epochs = self.curve_epochs or (CLASS_CURVE_EPOCHS if is_class else curve.train.epochs)
        objective = curve.objective
        if is_class and isinstance(objective, AscentConfig):
            objective = objective.model_copy(update={"ceiling": CLASS_CEILING})
        train = curve.train.model_copy(update={"epochs": epochs})
        return curve.model_copy(update={"train": train, "objective": objective})

    def pathway(self, seed: int, deletion: Deletion, method: MethodConfig, curve: CurveConfig) -> PathwayCell:
        """Return the cell of a pathway with the paper's choice of the point."""
        return PathwayCell(world=self.world(seed), deletion=deletion, method=method, curve=self.curve(deletion, curve))


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedMethod:
    """A pre-unlearning method under the name that the paper's tables give it."""

    name: str
    config: MethodConfig


def neggrad_plus(study: Study, deletion: Deletion) -> NegGradPlusConfig:
    """Return the θ_p that the paper takes unless it says otherwise."""
    config = NegGradPlusConfig(ceiling=CLASS_CEILING if isinstance(deletion, WholeClass) else None)
    return config.model_copy(update={"train": study.train(config.train)})


def paper_methods(study: Study, deletion: Deletion) -> tuple[NamedMethod, ...]:
    """Return the six methods with the paper's settings for CIFAR-10, in the order of its tables.

    GA differs: the paper's learning rate destroys the model, see `GradientAscentConfig`; where a class is forgotten it
    ascends until the class is gone, since D_v's accuracy is no target then.

    Args:
        study: may set the number of epochs.
        deletion: random or class-wise.
    """
    is_class = isinstance(deletion, WholeClass)
    ascent = GradientAscentConfig()
    if is_class:
        faster = ascent.train.model_copy(update={"learning_rate": CLASS_ASCENT_RATE})
        ascent = GradientAscentConfig(stop_at_forget_accuracy=0.0, train=faster)
    negation = NegTaskVectorConfig(scale=CLASS_SCALE) if is_class else NegTaskVectorConfig()
    finetune, relabel, saliency = FinetuneConfig(), RandomLabelConfig(), SalUnConfig()
    return (
        NamedMethod(name="FT", config=finetune.model_copy(update={"train": study.train(finetune.train)})),
        NamedMethod(name="RL", config=relabel.model_copy(update={"train": study.train(relabel.train)})),
        NamedMethod(name="GA", config=ascent.model_copy(update={"train": study.train(ascent.train)})),
        NamedMethod(name="NegGrad+", config=neggrad_plus(study, deletion)),
        NamedMethod(name="SalUn", config=saliency.model_copy(update={"train": study.train(saliency.train)})),
        NamedMethod(name="NegTV", config=negation.model_copy(update={"train": study.train(negation.train)})),
    )
