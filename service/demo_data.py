"""Real images for the demo: Fashion-MNIST from where it can be had, else scikit-learn's digits."""

import secrets
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from mcu_core.config import ArchitectureConfig
from service.domain.canary import KEY_BYTES
from service.domain.manifest import Split
from service.errors import ServiceError
from service.manifests.build import build_manifest
from service.manifests.canaries import plant_canaries
from service.manifests.images import digits_source, idx_source, torchvision_source
from service.manifests.plan import BuildOptions, SampleSource

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Of Debian's package `dataset-fashion-mnist`."""
TRAIN_COUNT = 2400
HELDOUT_COUNT = 5000
DIGITS_HELDOUT_SHARE = 0.6
CANARY_COUNT = 128
"""About half of them are trained on: what one run forgets."""

FASHION_ARCHITECTURE = ArchitectureConfig(
    name="preresnet14", classes=10, channels=1, image_size=28, mean=(0.286,), std=(0.353,)
)
"""Mean and deviation of Fashion-MNIST's training pixels."""
DIGITS_ARCHITECTURE = ArchitectureConfig(
    name="preresnet14", classes=10, channels=1, image_size=8, mean=(0.305,), std=(0.376,)
)
"""Mean and deviation of the digits' pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoData:
    """A manifest of real images and the network that learns them."""

    name: str
    origin: str
    """Where the images were found."""
    manifest: Path
    architecture: ArchitectureConfig
    train_ids: tuple[str, ...]
    """Of samples that somebody may want forgotten: canaries are nobody's."""
    heldout_count: int
    canaries: Path
    """The secret of the coins."""
    included_count: int
    """Canaries to train on."""


def build_demo_manifest(folder: Path, *, seed: int) -> DemoData:
    """Write the manifest of the best data set that can be had here.

    Installed files first, then Debian's package, then torchvision's download; the digits lie in scikit-learn itself.
    """
    path = folder / "without-canaries.parquet"
    fashion = BuildOptions(seed=seed, limits={Split.TRAIN: TRAIN_COUNT, Split.HELDOUT: HELDOUT_COUNT})
    found = find_fashion_mnist(folder)
    if found is not None:
        source, origin = found
        build_manifest(source, path, fashion)
        return _described("Fashion-MNIST", origin, path, FASHION_ARCHITECTURE)
    build_manifest(digits_source(), path, BuildOptions(seed=seed, heldout_share=DIGITS_HELDOUT_SHARE))
    return _described("scikit-learn's digits", "part of scikit-learn", path, DIGITS_ARCHITECTURE)


def find_fashion_mnist(folder: Path) -> tuple[SampleSource, str] | None:
    """Return Fashion-MNIST and where it was found: Debian's package, else torchvision's download into a folder."""
    try:
        return idx_source(DEBIAN_FOLDER), f"installed in {DEBIAN_FOLDER}"
    except ServiceError:
        pass  # not installed: torchvision may fetch it
    try:
        return torchvision_source("FashionMNIST", folder / "torchvision", download=True), "torchvision's download"
    except ServiceError:
        return None  # no network: the digits can always be had


def _described(name: str, origin: str, path: Path, architecture: ArchitectureConfig) -> DemoData:
    table = pq.read_table(path, columns=["sample_id", "split"])
    secret = path.with_name("canaries.secret.json")
    manifest = path.with_name("manifest.parquet")
    key = secrets.token_bytes(KEY_BYTES)
    planted = plant_canaries(path, manifest, secret, count=CANARY_COUNT, mislabel=True, key=key)
    path.unlink()
    is_train = pc.equal(table["split"], Split.TRAIN.value)
    train_ids = tuple(table.filter(is_train)["sample_id"].to_pylist())
    return DemoData(
        name=name,
        origin=origin,
        manifest=planted.path,
        architecture=architecture,
        train_ids=train_ids,
        heldout_count=planted.heldout,
        canaries=secret,
        included_count=planted.included,
    )
