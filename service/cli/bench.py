"""The researcher's command: the papers' tables and figures."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from mcu_core.config import MOST_EPOCHS
from mcu_core.experiments.cases import BENCH_EPOCHS
from mcu_core.whole_files import locked
from service.cli.output import (
    Json,
    console,
    err_console,
    print_fields,
    print_json,
    told_errors,
    told_interruption,
    told_missing,
)
from service.demo_data import DEBIAN_FOLDER, DIGITS_HELDOUT_SHARE
from service.errors import FieldViolation, InvalidRequestError, ManifestError
from service.manifests.build import build_manifest
from service.manifests.images import digits_source, idx_source, torchvision_source
from service.manifests.plan import BuildOptions, SampleSource
from service.worker.results import write_result

if TYPE_CHECKING:
    from mcu_core.experiments.artefacts import Rendered
    from mcu_core.experiments.plan import Standing
    from service.worker.bench import BenchRequest
    from service.worker.research import ResearchData

DEFAULT_FOLDER = Path("benchmarks/results")
MANIFEST_SUFFIX = ".parquet"
_SEED_TEXT = 100
"""Characters; more are no seed, and Python does not read thousands."""


def bench(
    artefact: Annotated[
        str,
        typer.Argument(
            help="`table1`, `table2` (random), `table3` (class-wise), `figure2` to `figure9`, `ablation`, `rivals`, "
            "`forgetting`, or `forgetting-ablation`."
        ),
    ],
    data: Annotated[
        str,
        typer.Option(help="`fashion-mnist`, `digits`, a torchvision name such as `CIFAR10`, or a manifest (.parquet)."),
    ] = "fashion-mnist",
    model: Annotated[str, typer.Option(help="`preresnet20` and the like, or `torchvision:resnet18`.")] = "preresnet20",
    train_images: Annotated[
        int | None, typer.Option(min=10, help="Size of D_train [default: 12 000, or two thirds of a small data set].")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Comma-separated [default: 0,1,2 for a table, 0 for a figure].")
    ] = None,
    epochs: Annotated[
        int, typer.Option(min=1, help="Horizon of the originals' training; it ends when memorised.")
    ] = BENCH_EPOCHS,
    share: Annotated[float, typer.Option(help="Of D_train that a random deletion forgets.")] = 0.1,
    label: Annotated[
        int | None, typer.Option(min=0, help="Class to forget; for `forgetting` in place of samples [default: 0].")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="`forgetting`: samples to forget in place of a share.")
    ] = None,
    hardest: Annotated[
        bool, typer.Option("--hardest", help="`forgetting`: the hardest samples, no random ones.")
    ] = False,
    folds: Annotated[int, typer.Option(min=2, help="`forgetting`: models in each family of references.")] = 5,
    method_epochs: Annotated[
        int | None, typer.Option(min=1, max=MOST_EPOCHS, help="For every method, to try things out.")
    ] = None,
    curve_epochs: Annotated[
        int | None, typer.Option(min=1, max=MOST_EPOCHS, help="For every curve, to try things out.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=4, max=1024, help="Resize images to so many pixels a side [default: theirs].")
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="3 makes RGB of grey images, 1 the other way [default: theirs].")
    ] = None,
    augmentation: Annotated[
        str, typer.Option(help="`none`, `crop_flip` or `resized_crop_flip`, of whatever is trained from scratch.")
    ] = "none",
    settings: Annotated[
        str, typer.Option(help="Whose epochs the paper's methods take: `cifar10`, `imagenet100` or `tiny-imagenet`.")
    ] = "cifar10",
    precision: Annotated[str, typer.Option(help="`auto`, `float32` or `bfloat16`.")] = "auto",
    threads: Annotated[
        int, typer.Option(min=1, help="CPU threads. More are faster and change the last bits of a result.")
    ] = 1,
    store: Annotated[Path, typer.Option(help="Where finished cells are kept.")] = DEFAULT_FOLDER,
    out: Annotated[Path | None, typer.Option(help="Where the results go [default: the store].")] = None,
    download: Annotated[bool, typer.Option("--download", help="Let torchvision download the data set.")] = False,
    as_json: Json = False,
) -> None:
    """Measure a table or figure of the paper and write it as JSON, Markdown and image.

    What was measured before is not measured again: every trained or measured thing is a cell, kept under the digest of
    what it depends on. Interrupt the command when you like, and run it again to go on. The files are named after the
    artefact and every setting that has not its default.

        unlearn bench table1

        unlearn bench figure3 --data digits --epochs 10

        unlearn bench forgetting --count 100 --hardest

        unlearn bench forgetting --label 0

        unlearn bench table3 --data CIFAR10 --download --seeds 0,1,2,3,4 --label 5
    """
    with told_errors(as_json=as_json), told_interruption():
        with told_missing("bench"):  # torch is loaded here and nowhere else
            from service.worker.bench import BenchRequest, require_measurable, run_bench  # noqa: PLC0415
        request = BenchRequest(
            artefact=artefact,
            data=_title(data),
            is_own_data=data.endswith(MANIFEST_SUFFIX),
            train_images=train_images,
            seeds=None if seeds is None else _seeds(seeds),
            epochs=epochs,
            share=share,
            label=label,
            count=count,
            hardest=hardest,
            folds=folds,
            method_epochs=method_epochs,
            curve_epochs=curve_epochs,
            image_size=image_size,
            channels=channels,
            augmentation=augmentation,
            settings=settings,
            precision=precision,
            threads=threads,
        )
        require_measurable(request)
        loaded = _load(request, data, model, store / "data", download=download)
        with _cell_bar() as tell:
            result = run_bench(request, loaded, store, progress=tell)
        paths = _write(out or store, result.name, result.rendered)
    for warning in result.warnings:
        err_console.print(f"Warning: {warning}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        print_json({"artefact": artefact, "files": [str(path) for path in paths], "cells_run": result.planned})
        return
    console.print(result.rendered.markdown, markup=False, highlight=False, soft_wrap=True)
    print_fields("Written", [(path.suffix.removeprefix("."), str(path)) for path in paths])


def _title(data: str) -> str:
    return Path(data).stem[:64] if data.endswith(MANIFEST_SUFFIX) else data


def _seeds(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and len(part) < _SEED_TEXT for part in parts):
        raise InvalidRequestError(
            FieldViolation(field="seeds", description="must be whole numbers with commas between them, such as 0,1,2")
        )
    return tuple(int(part) for part in parts)


def _load(request: "BenchRequest", data: str, model: str, folder: Path, *, download: bool) -> "ResearchData":
    from service.worker.research import load_research_data, require_network  # noqa: PLC0415 - torch takes seconds

    require_network(model)
    manifest = Path(data)
    if not data.endswith(MANIFEST_SUFFIX):
        if manifest.name != data:
            raise InvalidRequestError(FieldViolation(field="data", description="is no name of a data set"))
        manifest = folder / f"{data}{MANIFEST_SUFFIX}"
        if not manifest.is_file():
            _build(data, manifest, download=download)
    with _bar("decoding samples") as progress:
        return load_research_data(
            manifest,
            model,
            folder,
            image_size=request.image_size,
            channels=request.channels,
            threads=request.threads,
            progress=progress,
        )


def _build(data: str, manifest: Path, *, download: bool) -> None:
    """Write the manifest of a known data set; another command that does so is waited for."""
    folder = manifest.parent
    with locked(folder / ".lock"):
        if manifest.is_file():
            return
        source, options = _source(data, folder, download=download)
        for left in folder.glob(f".{manifest.name}-*"):  # by a command that was killed
            left.unlink()
        with _bar("writing samples") as progress:
            build_manifest(source, manifest, options, progress=progress)


def _source(data: str, folder: Path, *, download: bool) -> tuple[SampleSource, BuildOptions]:
    match data:
        case "fashion-mnist":
            return _fashion_mnist(folder, download=download), BuildOptions()
        case "digits":
            return digits_source(), BuildOptions(heldout_share=DIGITS_HELDOUT_SHARE)
        case _:
            return torchvision_source(data, folder, download=download), BuildOptions()


def _fashion_mnist(folder: Path, *, download: bool) -> SampleSource:
    """Return what Debian's package installed, else what torchvision downloaded, now only where that was asked for."""
    try:
        return idx_source(DEBIAN_FOLDER)
    except ManifestError:
        pass  # not installed
    try:
        return torchvision_source("FashionMNIST", folder / "torchvision", download=download)
    except ManifestError as error:
        what = "cannot be downloaded now" if download else "was not downloaded: --download does so"
        raise ManifestError(
            f"Fashion-MNIST is not in {DEBIAN_FOLDER} (Debian's dataset-fashion-mnist) and {what}; --data digits needs "
            "neither"
        ) from error


def _write(folder: Path, name: str, rendered: "Rendered") -> list[Path]:
    content = {
        "json": (json.dumps(rendered.data, indent=1, ensure_ascii=False) + "\n").encode(),
        "md": rendered.markdown.encode(),
        **rendered.images,
    }
    return write_result(folder, name, content)


@contextmanager
def _bar(text: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err_console, transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def _cell_bar() -> Iterator[Callable[["Standing"], None]]:
    if not err_console.is_terminal:  # a log gets a line a cell
        yield _line_a_cell()
        return
    columns = (TextColumn("{task.fields[cell]}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=err_console, transient=True) as bars:
        task = bars.add_task("", total=None, cell="planning", left="")

        def tell(standing: "Standing") -> None:
            bars.update(
                task,
                completed=standing.finished,
                total=standing.total,
                cell=f"{standing.label}: {standing.phase.value} {standing.share_of_cell:.0%}",
                left=left_text(standing.seconds_left),
            )

        yield tell


def _line_a_cell() -> Callable[["Standing"], None]:
    last: tuple[int, str] | None = None

    def tell(standing: "Standing") -> None:
        nonlocal last
        if last == (standing.finished, standing.label):
            return
        last = (standing.finished, standing.label)
        left = left_text(standing.seconds_left)
        line = f"{standing.finished + 1} of {standing.total}: {standing.label}"
        err_console.print(f"{line}, {left}" if left else line, highlight=False, soft_wrap=True)

    return tell


def left_text(seconds: float | None) -> str:
    """Return the time left as a person reads it."""
    if seconds is None:
        return ""
    minutes = round(seconds / 60.0)
    if minutes < 1:
        return "less than a minute left"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02d} min left" if hours else f"{rest} min left"
