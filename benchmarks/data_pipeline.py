"""What the samples cost: time that training waits for batches, decoding, and memory.

    python -m benchmarks.data_pipeline --out benchmarks/results/data_pipeline.json

Waiting: `minimise` reads its batches through a stopwatch; networks and augmentations take turns in every round.
Decoding and memory: each size in a process of its own, from a manifest of noise in PNG to one read of every image in
batches. The excess is the highest resident memory above what the process had before and above the uint8 array: it must
not grow with the number of images.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from benchmarks import measure
from mcu_core import models
from mcu_core.config import ArchitectureConfig, Augmentation, Precision, TrainConfig
from mcu_core.data import BatchReader, PlainBatches
from mcu_core.images import ImageData
from mcu_core.losses import cross_entropy
from mcu_core.runtime import Runtime, resolve_precision, stream
from mcu_core.training import minimise
from mcu_core.types import Batch, Phase
from service.manifests.build import png_of
from service.worker.samples import decode

NETWORKS = (("preresnet20", 32, 128), ("preresnet110", 32, 32), ("torchvision:resnet18", 128, 32))
"""Name, image size, batch size."""
TARGET_SHARE = 0.03
MEBIBYTE = 2.0**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Time of a training step and how much of it went into the batch."""

    network: str
    image_size: int
    batch_size: int
    augmentation: str
    dtype: str
    rounds: int
    step_ms_min: float
    step_ms_median: float
    batch_ms_min: float
    batch_ms_median: float
    share_of_minima: float
    share_of_medians: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """One manifest decoded, opened again, and read once."""

    images: int
    image_size: int
    threads: int
    decode_seconds: float
    reopen_seconds: float
    read_seconds: float
    array_mib: float
    peak_mib: float
    excess_mib: float


@dataclass(slots=True, eq=False)
class TimedBatches:
    """Batches under a stopwatch."""

    batches: PlainBatches
    device: torch.device
    seconds: list[float] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Return the number of batches an epoch."""
        return self.batches.steps

    def draw(self, rng: torch.Generator, augmentation: Augmentation = Augmentation.NONE) -> Iterator[Batch]:
        """Yield one epoch, and note what each batch took."""
        drawn = self.batches.draw(rng, augmentation)
        for _ in range(self.steps):
            start = now(self.device)
            batch = next(drawn)
            self.seconds.append(now(self.device) - start)
            yield batch


def now(device: torch.device) -> float:
    """Return processor time, or on a GPU wall time with all its work done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


@dataclass(slots=True, eq=False)
class Training:
    """A network that is trained for a few steps at a time."""

    name: str
    size: int
    batch_size: int
    augmentation: Augmentation
    step_ms: list[float] = field(default_factory=list)
    batch_ms: list[float] = field(default_factory=list)

    def run(self, steps: int, device: torch.device) -> None:
        """Train for some steps and note the medians of a step and of its batch, in milliseconds."""
        architecture = ArchitectureConfig(
            name=self.name, classes=10, image_size=self.size, mean=(0.5,) * 3, std=(0.25,) * 3
        )
        rng = torch.Generator().manual_seed(0)
        count = steps * self.batch_size
        images = torch.randint(0, 256, (count, 3, self.size, self.size), generator=rng, dtype=torch.uint8)
        data = ImageData(images=images, labels=torch.randint(0, 10, (count,), generator=rng))
        model = models.build(architecture)
        reader = BatchReader(data=data, architecture=architecture, device=device)
        dtype = resolve_precision(Precision.AUTO, device)
        runtime = Runtime(model=model, reader=reader, dtype=dtype, evaluation_batch=self.batch_size)
        batches = TimedBatches(
            PlainBatches(reader=reader, rows=torch.arange(count), size=self.batch_size), device=device
        )
        ends: list[float] = []
        minimise(
            runtime,
            models.state_of(model).to(device),
            cross_entropy,
            batches,
            TrainConfig(epochs=2, learning_rate=1e-3, batch_size=self.batch_size, augmentation=self.augmentation),
            rng=stream(0, "benchmark"),
            phase=Phase.RETRAIN,
            lower="nothing",
            progress=lambda _: ends.append(now(device)),
        )
        # The first epoch warms up.
        self.step_ms.append(1e3 * float(np.median(np.diff(ends[steps - 1 :]))))
        self.batch_ms.append(1e3 * statistics.median(batches.seconds[steps:]))

    def result(self, dtype: str) -> Waiting:
        """Return what was noted."""
        step, batch = self.step_ms, self.batch_ms
        return Waiting(
            network=self.name,
            image_size=self.size,
            batch_size=self.batch_size,
            augmentation=self.augmentation.value,
            dtype=dtype,
            rounds=len(step),
            step_ms_min=min(step),
            step_ms_median=statistics.median(step),
            batch_ms_min=min(batch),
            batch_ms_median=statistics.median(batch),
            share_of_minima=min(batch) / min(step),
            share_of_medians=statistics.median(batch) / statistics.median(step),
        )


def measure_waiting(
    networks: Sequence[tuple[str, int, int]], *, rounds: int, steps: int, device: torch.device
) -> list[Waiting]:
    """Train networks, given as those of `NETWORKS`, with every augmentation in turn."""
    trainings = [
        Training(name, size, batch_size, augmentation)
        for name, size, batch_size in networks
        for augmentation in Augmentation
    ]
    for number in range(rounds):
        for training in trainings:
            print(f"round {number + 1} of {rounds}: {training.name}, {training.augmentation.value}", flush=True)
            training.run(steps, device)
    dtype = str(resolve_precision(Precision.AUTO, device)).removeprefix("torch.")
    return [training.result(dtype) for training in trainings]


def measure_decoding(images: int, size: int, threads: int, scratch: Path) -> Decoding:
    """Decode a manifest in a process of its own, whose memory nothing else has touched."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(write_noise, scratch / "noise.parquet", images, size).result()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(decode_noise, scratch, images, size, threads).result()


def write_noise(path: Path, images: int, size: int) -> None:
    """Write a manifest of images that differ from each other, with as much noise as a photo has."""
    rng = np.random.default_rng(0)
    schema = pa.schema(
        [("sample_id", pa.string()), ("split", pa.string()), ("label", pa.int64()), ("image", pa.binary())]
    )
    with pq.ParquetWriter(path, schema, compression="none") as writer:
        for start in range(0, images, 1000):
            numbers = range(start, min(images, start + 1000))
            content = [png_of(Image.fromarray(rng.integers(0, 64, (size, size, 3), dtype=np.uint8))) for _ in numbers]
            ids = [f"noise-{number}" for number in numbers]
            splits = ["heldout" if number % 5 == 0 else "train" for number in numbers]
            labels = [number % 10 for number in numbers]
            columns = {"sample_id": ids, "split": splits, "label": labels, "image": content}
            writer.write_table(pa.table(columns, schema))


def decode_noise(scratch: Path, images: int, size: int, threads: int) -> Decoding:
    """Decode the manifest of `write_noise` in this process, open it again and read it once."""
    torch.set_num_threads(1)
    architecture = ArchitectureConfig(name="preresnet20", classes=10, image_size=size, mean=(0.5,) * 3, std=(0.25,) * 3)
    folder, manifest = scratch / "decoded", scratch / "noise.parquet"
    models.build(architecture)  # loads what is loaded once
    before = reset_peak()
    start = time.perf_counter()
    decode(manifest, architecture, folder=folder, threads=threads)
    decoded = time.perf_counter()
    samples = decode(manifest, architecture, folder=folder, threads=threads)
    reopened = time.perf_counter()
    reader = BatchReader(data=samples.data, architecture=architecture, device=torch.device("cpu"))
    batches = PlainBatches(reader=reader, rows=torch.arange(images), size=128)
    for _ in batches.draw(stream(0, "benchmark"), Augmentation.CROP_FLIP):
        pass
    read = time.perf_counter()
    array, peak = samples.data.images.numel() / MEBIBYTE, (memory("VmHWM") - before) / MEBIBYTE
    return Decoding(
        images=images,
        image_size=size,
        threads=threads,
        decode_seconds=decoded - start,
        reopen_seconds=reopened - decoded,
        read_seconds=read - reopened,
        array_mib=array,
        peak_mib=peak,
        excess_mib=peak - array,
    )


def reset_peak() -> int:
    """Let the kernel measure the highest resident memory anew; return the present one in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(kind: str) -> int:
    """Return one line of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{kind}:")).split()[1])


def show(waiting: list[Waiting], decoding: list[Decoding]) -> None:
    print(
        "\n| network | size | batch | augmentation | step ms, min (median) | batch ms, min (median) | share | target |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for one in waiting:
        print(
            f"| {one.network} | {one.image_size} | {one.batch_size} | {one.augmentation} | "
            f"{one.step_ms_min:.1f} ({one.step_ms_median:.1f}) | {one.batch_ms_min:.2f} ({one.batch_ms_median:.2f}) | "
            f"{one.share_of_minima:.2%} ({one.share_of_medians:.2%}) | "
            f"{'met' if one.share_of_medians < TARGET_SHARE else 'MISSED'} |"
        )
    print("\n| images | size | threads | decode s | reopen s | read s | array MiB | peak MiB | excess MiB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in decoding:
        print(
            f"| {row.images} | {row.image_size} | {row.threads} | {row.decode_seconds:.2f} | "
            f"{row.reopen_seconds:.2f} | {row.read_seconds:.2f} | {row.array_mib:.0f} | {row.peak_mib:.0f} | "
            f"{row.excess_mib:.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="of an epoch; a round has two")
    parser.add_argument("--networks", nargs="*", default=[], help="some of those that are measured; all by default")
    parser.add_argument("--images", type=int, nargs="*", default=[5000, 20_000, 60_000])
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1, help="that compute and that decode")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--scratch", type=Path, default=None, help="folder for manifests and decoded images")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/data_pipeline.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    networks = [network for network in NETWORKS if not options.networks or network[0] in options.networks]
    waiting = measure_waiting(networks, rounds=options.rounds, steps=options.steps, device=device)
    decoding = []
    for images in options.images:
        print(f"decoding {images} images", flush=True)
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            decoding.append(measure_decoding(images, options.image_size, options.threads, Path(scratch)))
    show(waiting, decoding)
    result = {
        "environment": measure.environment(),
        "device": str(device),
        "threads": options.threads,
        "steps": options.steps,
        "waiting": [asdict(one) for one in waiting],
        "decoding": [asdict(one) for one in decoding],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
