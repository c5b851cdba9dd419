"""What a bench refuses before anything is trained, and what its results are called."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mcu_core.config import ArchitectureConfig, Augmentation, RetrainConfig, TrainConfig
from mcu_core.errors import CoreError, DataError
from mcu_core.experiments.artefacts import Artefact, cells_of
from mcu_core.experiments.cells import ReferenceCell, world_of
from mcu_core.experiments.paper import Study
from mcu_core.experiments.plan import Standing, missing
from mcu_core.experiments.setup import Samples
from mcu_core.experiments.store import CellStore
from mcu_core.images import ImageData
from service.errors import InvalidRequestError
from service.worker.bench import BenchRequest, require_measurable, result_stem, run_bench, study_of
from service.worker.research import ResearchData

PLAIN = {artefact: BenchRequest(artefact=artefact.value) for artefact in Artefact}
FORGETTING = BenchRequest(artefact="forgetting", data="tiny", train_images=20, seeds=(0,), epochs=1, folds=2)


@pytest.fixture(scope="module")
def data() -> ResearchData:
    """Noise of two classes; the second is rare."""
    labels = torch.zeros(60, dtype=torch.int64)
    labels[-2:] = 1  # held out only
    images = torch.randint(0, 256, (60, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    network = ArchitectureConfig(name="preresnet20", classes=2, channels=1, image_size=4, mean=(0.5,), std=(0.3,))
    samples = Samples(
        data=ImageData(images=images, labels=labels), train=torch.arange(40), heldout=torch.arange(40, 60)
    )
    return ResearchData(samples=samples, architecture=network)


@pytest.mark.parametrize("artefact", list(Artefact))
def test_defaults_are_measurable(artefact: Artefact) -> None:
    require_measurable(PLAIN[artefact])


@pytest.mark.parametrize(
    ("artefact", "change", "field"),
    [
        ("table1", {"count": 10}, "count"),
        ("figure3", {"hardest": True}, "hardest"),
        ("table3", {"folds": 2}, "folds"),
        ("table3", {"share": 0.2}, "share"),
        ("table2", {"label": 1}, "label"),
        ("forgetting", {"label": 1, "share": 0.2}, "share"),
        ("forgetting", {"label": 1, "count": 10}, "count"),
        ("forgetting", {"label": 1, "hardest": True}, "hardest"),
        ("forgetting", {"count": 10, "share": 0.2}, "share"),
        ("forgetting-ablation", {"count": 10, "share": 0.2}, "share"),
        ("forgetting-ablation", {"label": 1, "hardest": True}, "hardest"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(artefact: str, change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        require_measurable(replace(PLAIN[Artefact(artefact)], **change))
    assert [violation.field for violation in refused.value.violations] == [field]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": (0, 1, 0)}, "seeds: must differ"),
        ({"seeds": (2**53 + 1,)}, "seeds: must lie in 0 to 9007199254740991"),
        ({"augmentation": "flip"}, "augmentation: must be one of none, crop_flip"),
        ({"share": 1.0}, "share: must lie between 0 and 1"),
        ({"channels": 2}, "channels: must be one of 1, 3"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        require_measurable(replace(PLAIN[Artefact.TABLE1], **change))


def never(_standing: Standing) -> None:
    raise AssertionError("something is computed")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (replace(FORGETTING, count=20), "forgets 20 of 20"),
        (replace(FORGETTING, count=19, hardest=True), "forgets 19 of 20"),
        (BenchRequest(artefact="table3", data="tiny", train_images=20, label=1), "forgets 0 of 20"),
        (BenchRequest(artefact="table1", data="tiny", train_images=40), "take fewer"),
    ],
)
def test_a_deletion_that_cannot_be_is_refused_before_a_training(
    request_: BenchRequest, message: str, data: ResearchData, tmp_path: Path
) -> None:
    with pytest.raises(CoreError, match=message):
        run_bench(request_, data, tmp_path, progress=never)


@pytest.mark.parametrize("artefact", ["table1", "figure3"])
def test_classes_without_unseen_samples_are_refused_before_a_training(
    artefact: str, data: ResearchData, tmp_path: Path
) -> None:
    labels = data.samples.data.labels.clone()
    labels[:39] = torch.arange(39)  # all but one of them are drawn
    images, network = data.samples.data.images, data.architecture.model_copy(update={"classes": 39})
    one_each = replace(data.samples, data=ImageData(images=images, labels=labels))
    request = BenchRequest(artefact=artefact, data="tiny", train_images=35, seeds=(0,))
    with pytest.raises(DataError, match="fewer training images"):
        run_bench(request, replace(data, samples=one_each, architecture=network), tmp_path, progress=never)


def test_augmentation_is_that_of_whatever_is_trained_from_scratch(data: ResearchData) -> None:
    request = replace(FORGETTING, augmentation="crop_flip")
    artefact, study = study_of(request, data)
    trained = missing(cells_of(artefact, study), CellStore(Path("nowhere")))
    recipes = {world_of(cell).recipe for cell in trained}
    recipes |= {cell.family.recipe for cell in trained if isinstance(cell, ReferenceCell)}
    assert {recipe.train.augmentation for recipe in recipes} == {Augmentation.CROP_FLIP}


@pytest.mark.parametrize(("threshold", "warned"), [(0.999, True), (0.001, False)])
def test_an_original_that_memorised_too_little_is_told(
    threshold: float, warned: bool, data: ResearchData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RetrainConfig(train=TrainConfig(epochs=1, learning_rate=1e-6), stop_at_train_accuracy=threshold)
    monkeypatch.setattr(Study, "recipe", recipe)
    mixed = replace(data.samples, data=replace(data.samples.data, labels=torch.arange(60) % 2))
    request = BenchRequest(
        artefact="table2", data="tiny", train_images=20, seeds=(3,), method_epochs=1, curve_epochs=1,
        precision="float32",
    )  # fmt: skip
    result = run_bench(request, replace(data, samples=mixed), tmp_path, progress=lambda _standing: None)
    assert bool(result.warnings) == warned
    assert all("the original of seed 3 knows" in warning for warning in result.warnings)
    (told,) = result.rendered.data["originals"]
    assert (told["seed"], told["epochs"]) == (3, 1)
    assert 0.0 <= told["train_accuracy"] < 0.999


def name_of(request: BenchRequest, data: ResearchData) -> str:
    return result_stem(request, study_of(request, data)[1], data)


@pytest.mark.parametrize("artefact", list(Artefact))
def test_defaults_keep_the_plain_name(artefact: Artefact, data: ResearchData) -> None:
    assert name_of(PLAIN[artefact], data) == artefact.value


def test_defaults_that_are_spelt_out_keep_the_plain_name(data: ResearchData) -> None:
    assert name_of(replace(PLAIN[Artefact.TABLE1], seeds=(0, 1, 2), train_images=26), data) == "table1"


@pytest.mark.parametrize(
    ("artefact", "change", "name"),
    [
        ("table1", {"data": "digits"}, "table1-digits"),
        ("forgetting", {"count": 100, "hardest": True}, "forgetting-100-hardest"),
        ("forgetting", {"folds": 2}, "forgetting-folds-2"),
        ("table2", {"share": 0.2}, "table2-share-0.2"),
        ("table3", {"label": 1}, "table3-label-1"),
        ("table3", {"label": 0}, "table3"),
        ("forgetting", {"label": 0}, "forgetting-label-0"),
        ("forgetting-ablation", {"seeds": (0,), "folds": 2}, "forgetting-ablation-seeds-0-folds-2"),
        ("figure3", {"train_images": 20, "seeds": (4,)}, "figure3-train-20-seeds-4"),
        (
            "table1",
            {"epochs": 2, "method_epochs": 1, "curve_epochs": 3},
            "table1-epochs-2-method-epochs-1-curve-epochs-3",
        ),
        ("table1", {"precision": "float32"}, "table1-float32"),
        ("table1", {"image_size": 8, "channels": 3}, "table1-image-size-8-channels-3"),
        ("table1", {"augmentation": "crop_flip"}, "table1-crop_flip"),
    ],
)
def test_what_differs_from_the_default_is_in_the_name(
    artefact: str, change: dict[str, Any], name: str, data: ResearchData
) -> None:
    assert name_of(replace(PLAIN[Artefact(artefact)], **change), data) == name


def test_manifests_of_one_name_give_different_results(data: ResearchData) -> None:
    request = replace(PLAIN[Artefact.TABLE1], data="mine", is_own_data=True)
    other = replace(data, samples=replace(data.samples, train=torch.arange(39)))
    assert name_of(request, data) != name_of(request, other)
    assert name_of(request, data).startswith("table1-mine-")


def test_another_network_gives_another_name(data: ResearchData) -> None:
    other = replace(data, architecture=data.architecture.model_copy(update={"name": "torchvision:resnet18"}))
    assert name_of(PLAIN[Artefact.TABLE1], other) == "table1-torchvision-resnet18"
