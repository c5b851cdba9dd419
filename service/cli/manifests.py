"""Commands about manifests: build."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.cli.output import Json, err_console, print_fields, print_json, told_errors
from service.domain.manifest import Split
from service.manifests.build import build_manifest
from service.manifests.cifar import cifar_source, is_cifar
from service.manifests.images import digits_source, folder_source, idx_source, torchvision_source
from service.manifests.plan import BuildOptions, SampleSource
from service.manifests.tables import table_source
from service.manifests.tiny_imagenet import is_tiny_imagenet, tiny_imagenet_source

app = typer.Typer(help="Build the data sets that models were trained on.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Build the data sets that models were trained on."""


@app.command()
def build(
    source: Annotated[
        str,
        typer.Argument(
            help="A .csv, .jsonl or .parquet file; a folder of images (also Tiny-ImageNet's and CIFAR's binary files); "
            "`idx:FOLDER`; `torchvision:NAME`; or `digits`."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The manifest to write (Parquet).")],
    by_reference: Annotated[
        bool, typer.Option("--by-reference", help="Refer to the image files instead of embedding them.")
    ] = False,
    heldout_share: Annotated[
        float | None, typer.Option(help="Share of each class to hold out, where the data know no splits.")
    ] = None,
    limit_train: Annotated[int | None, typer.Option(min=1, help="Keep at most so many training samples.")] = None,
    limit_heldout: Annotated[int | None, typer.Option(min=1, help="Keep at most so many held-out samples.")] = None,
    seed: Annotated[int, typer.Option(help="Of the choice of held-out and of kept samples.")] = 0,
    root: Annotated[Path, typer.Option(help="Where torchvision keeps its data sets.")] = Path("data"),
    download: Annotated[bool, typer.Option("--download", help="Let torchvision download the data set.")] = False,
    as_json: Json = False,
) -> None:
    """Write the manifest of a data set: every sample's id, split, label and image.

    A table has the columns `sample_id`, `label`, optionally `split` (train or heldout) and `subject_id`, and `uri` or
    `path` of an image file. A folder of images is `ROOT/CLASS/IMAGE` or `ROOT/SPLIT/CLASS/IMAGE` (ImageNet's); the
    folders of Tiny-ImageNet and of CIFAR's binary version are recognised by their files.

        unlearn manifest build photos/ --out photos.parquet --heldout-share 0.3

        unlearn manifest build torchvision:CIFAR10 --download --out cifar10.parquet
    """
    limits = {Split.TRAIN: limit_train, Split.HELDOUT: limit_heldout}
    with told_errors(as_json=as_json):
        options = BuildOptions(
            by_reference=by_reference,
            heldout_share=heldout_share,
            limits={split: limit for split, limit in limits.items() if limit is not None},
            seed=seed,
        )
        with _bar() as progress:
            built = build_manifest(_source(source, root, download=download), out, options, progress=progress)
    counts: Counter[Split] = Counter()
    for split, _, count in built.counts:
        counts[split] += count
    if as_json:
        print_json(
            {
                "path": str(built.path),
                "sha256": built.digest,
                "rows": built.rows,
                "train": counts[Split.TRAIN],
                "heldout": counts[Split.HELDOUT],
                "classes": built.classes,
            }
        )
        return
    labels = {label for _, label, _ in built.counts}
    rows = [
        ("samples", f"{counts[Split.TRAIN]} train, {counts[Split.HELDOUT]} held out"),
        ("classes", ", ".join(built.classes) if built.classes else str(len(labels))),
        ("sha256", built.digest),
    ]
    print_fields(f"Written to {built.path}", rows)


def _source(name: str, root: Path, *, download: bool) -> SampleSource:
    kind, _, rest = name.partition(":")
    match kind:
        case "torchvision" if rest:
            return torchvision_source(rest, root, download=download)
        case "idx" if rest:
            return idx_source(Path(rest))
        case "digits" if not rest:
            return digits_source()
        case _:
            return _source_at(Path(name))


def _source_at(path: Path) -> SampleSource:
    if not path.is_dir():
        return table_source(path)
    if is_tiny_imagenet(path):
        return tiny_imagenet_source(path)
    return cifar_source(path) if is_cifar(path) else folder_source(path)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("writing samples"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err_console, transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
