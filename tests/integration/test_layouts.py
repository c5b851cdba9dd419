"""From the well-known data sets' layouts on disk to a trained model, on small images in the same layout."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from mcu_core import models
from mcu_core.config import ArchitectureConfig, Augmentation, RetrainConfig, TrainConfig
from mcu_core.data import BatchReader
from mcu_core.methods.retrain import train_from_scratch
from mcu_core.runtime import Runtime, stream
from service.cli.manifests import app
from service.worker.samples import DecodedSamples, decode
from tests.layouts import CLASSES, HELD_OUT, lay_out_cifar10, lay_out_imagenet, lay_out_tiny_imagenet

LAYOUTS = {
    "cifar10": (lay_out_cifar10, 32, Augmentation.CROP_FLIP),
    "imagenet100": (lay_out_imagenet, 48, Augmentation.RESIZED_CROP_FLIP),
    "tiny_imagenet": (lay_out_tiny_imagenet, 64, Augmentation.RESIZED_CROP_FLIP),
}


def architecture(size: int) -> ArchitectureConfig:
    return ArchitectureConfig(
        name="preresnet8", classes=CLASSES, image_size=size, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )


def built(name: str, folder: Path) -> DecodedSamples:
    lay_out, size, _ = LAYOUTS[name]
    lay_out(folder / name)
    manifest = folder / "manifest.parquet"
    done = CliRunner().invoke(app, ["build", str(folder / name), "--out", str(manifest), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["heldout"] == HELD_OUT * CLASSES
    return decode(manifest, architecture(size), folder=folder / "decoded", threads=2)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_image_is_decoded_with_its_own_label(name: str, tmp_path: Path) -> None:
    samples = built(name, tmp_path)
    size = LAYOUTS[name][1]
    assert samples.data.images.shape[1:] == (3, size, size)
    brightest = samples.data.images.float().mean(dim=(1, 3)).argmax(dim=1)  # the row that tells the class
    assert torch.equal((brightest.float() * CLASSES / size).round().long(), samples.data.labels)
    assert len(samples.heldout) == HELD_OUT * CLASSES
    assert torch.bincount(samples.data.labels).unique().numel() == 1  # type: ignore[no-untyped-call]  # torch's


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_epoch_of_training_runs_on_it(name: str, tmp_path: Path) -> None:
    samples = built(name, tmp_path)
    _, size, augmentation = LAYOUTS[name]
    reader = BatchReader(data=samples.data, architecture=architecture(size), device=torch.device("cpu"))
    runtime = Runtime(model=models.build(architecture(size)), reader=reader, dtype=torch.float32, evaluation_batch=16)
    recipe = RetrainConfig(train=TrainConfig(epochs=1, learning_rate=0.05, batch_size=8, augmentation=augmentation))
    trained = train_from_scratch(runtime, torch.from_numpy(samples.train), recipe, stream(0, "test"))
    start = models.state_of(models.build(architecture(size)))
    assert all(bool(tensor.isfinite().all()) for tensor in trained.params.values())
    assert not torch.equal(trained.buffers["norm.running_mean"], start.buffers["norm.running_mean"])
