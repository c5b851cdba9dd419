"""The methods of the paper's tables, and the settings of one command."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from mcu_core.config import (
    CEILING,
    MOST_EPOCHS,
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
from mcu_core.experiments.cases import BENCH_EPOCHS, PaperCase, settings_of
from mcu_core.experiments.cells import PathwayCell
from mcu_core.experiments.setup import Deletion, RandomShare, WholeClass, World, original_recipe

CLASS_CEILING = CEILING
"""Of the ascents where a class is forgotten. Ours: without it NegGrad+ diverges on memorised data."""
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
    case: PaperCase = PaperCase.CIFAR10
    """Whose epochs and scales the paper's methods and curves take."""
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
    method_epochs: Annotated[int | None, Field(ge=1, le=MOST_EPOCHS)] = None
    """In place of every method's own number; to try a command out."""
    curve_epochs: Annotated[int | None, Field(ge=1, le=MOST_EPOCHS)] = None
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

    def train(self, config: TrainConfig, epochs: int | None = None) -> TrainConfig:
        """Return a method's training with this study's number of epochs, else the given one, else its own."""
        return config.model_copy(update={"epochs": self.method_epochs or epochs or config.epochs})

    def curve(self, deletion: Deletion, curve: CurveConfig) -> CurveConfig:
        """Return a curve with the number of epochs that the paper has for a deletion, unless it has one of its own."""
        is_class, settings = isinstance(deletion, WholeClass), settings_of(self.case)
        usual = settings.class_curve_epochs if is_class else settings.curve_epochs
        own = curve.train.epochs if curve.train.epochs != CurveConfig().train.epochs else None
        epochs = self.curve_epochs or own or usual
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
    train = study.train(config.train, settings_of(study.case).ascent_epochs)
    return config.model_copy(update={"train": train})


def paper_methods(study: Study, deletion: Deletion) -> tuple[NamedMethod, ...]:
    """Return the six methods with the paper's settings, in the order of its tables.

    GA differs: the paper's learning rate destroys the model, see `GradientAscentConfig`; where a class is forgotten it
    ascends until the class is gone, since D_v's accuracy is no target then.

    Args:
        study: whose settings, and the number of epochs where it sets that.
        deletion: random or class-wise.
    """
    settings = settings_of(study.case)
    relabelling = study.train(TrainConfig(epochs=settings.relabel_epochs, learning_rate=0.01))
    return (
        NamedMethod(name="FT", config=FinetuneConfig(train=relabelling)),
        NamedMethod(name="RL", config=RandomLabelConfig(train=relabelling)),
        NamedMethod(name="GA", config=_ascent(study, deletion)),
        NamedMethod(name="NegGrad+", config=neggrad_plus(study, deletion)),
        NamedMethod(name="SalUn", config=SalUnConfig(train=relabelling)),
        NamedMethod(
            name="NegTV",
            config=NegTaskVectorConfig(
                scale=settings.class_scale if isinstance(deletion, WholeClass) else settings.scale,
                train=relabelling.model_copy(update={"learning_rate": settings.negation_rate}),
            ),
        ),
    )


def _ascent(study: Study, deletion: Deletion) -> GradientAscentConfig:
    is_class, train = isinstance(deletion, WholeClass), GradientAscentConfig().train
    if is_class:
        train = train.model_copy(update={"learning_rate": CLASS_ASCENT_RATE})
    return GradientAscentConfig(
        stop_at_forget_accuracy=0.0 if is_class else None,
        train=study.train(train, settings_of(study.case).ascent_epochs),
    )
