"""The paper's settings by data set."""

from mcu_core.config import GradientAscentConfig, NegTaskVectorConfig
from mcu_core.experiments.cases import PaperCase
from mcu_core.experiments.paper import Study, neggrad_plus, paper_methods
from mcu_core.experiments.tables import ADAPTIVE
from tests.studies import tiny_study

FULL = tiny_study().model_copy(update={"method_epochs": None, "curve_epochs": None})


def epochs(study: Study) -> dict[str, int]:
    found = {}
    for method in paper_methods(study, study.random):
        assert hasattr(method.config, "train")
        found[method.name] = method.config.train.epochs
    return found


def test_the_default_settings_are_those_of_the_configurations() -> None:
    for method in paper_methods(FULL, FULL.random):
        assert method.config == type(method.config)()  # type: ignore[call-arg]  # all have defaults
    assert FULL.curve(FULL.random, ADAPTIVE) == ADAPTIVE


def test_vit_takes_fewer_epochs_and_its_own_rate() -> None:
    study = FULL.model_copy(update={"case": PaperCase.IMAGENET100})
    assert epochs(study) == {"FT": 5, "RL": 5, "GA": 2, "NegGrad+": 2, "SalUn": 5, "NegTV": 5}
    (negation,) = (m.config for m in paper_methods(study, study.random) if isinstance(m.config, NegTaskVectorConfig))
    assert (negation.scale, negation.train.learning_rate) == (0.9, 0.001)
    for deletion in (study.random, study.whole_class):
        assert study.curve(deletion, ADAPTIVE).train.epochs == 2


def test_tiny_imagenet_negates_less() -> None:
    study = FULL.model_copy(update={"case": PaperCase.TINY_IMAGENET})
    (negation,) = (m.config for m in paper_methods(study, study.random) if isinstance(m.config, NegTaskVectorConfig))
    assert negation.scale == 0.1
    assert study.curve(study.random, ADAPTIVE).train.epochs == 5


def test_a_class_is_ascended_faster_and_up_to_a_ceiling() -> None:
    (ascent,) = (m.config for m in paper_methods(FULL, FULL.whole_class) if isinstance(m.config, GradientAscentConfig))
    assert ascent.train.learning_rate > GradientAscentConfig().train.learning_rate
    assert neggrad_plus(FULL, FULL.whole_class).ceiling is not None
    assert neggrad_plus(FULL, FULL.random).ceiling is None


def test_a_curve_with_epochs_of_its_own_keeps_them() -> None:
    own = ADAPTIVE.model_copy(update={"train": ADAPTIVE.train.model_copy(update={"epochs": 3})})
    assert FULL.curve(FULL.random, own).train.epochs == 3
