"""Commands about manifests: build, canaries."""

import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.cli.output import Json, console, err_console, print_fields, print_json, told_errors
from service.domain.canary import KEY_BYTES
from service.domain.manifest import Split
from service.manifests.build import build_manifest
from service.manifests.canaries import plant_canaries
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


@app.command()
def canaries(
    source: Annotated[Path, typer.Argument(help="A manifest, as `unlearn manifest build` writes it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The manifest with canaries to write (Parquet).")],
    count: Annotated[
        int, typer.Option(min=2, help="Held-out samples that become canaries; about half are trained on.")
    ] = 200,
    secret: Annotated[
        Path, typer.Option(help="Where the secret of the coins is written; an existing file is never replaced.")
    ] = Path("canaries.secret.json"),
    mislabel: Annotated[
        bool,
        typer.Option("--mislabel/--keep-label", help="Whether a canary gets a random wrong class, trained on or not."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Plant canaries in a manifest before a model is trained on it.

    A secret fair coin decides for each canary whether the model is trained on it. Later every run forgets some of those
    that are in, unknown to the unlearner, and the audit compares them with those that are out: that gives it power
    when a request names few samples.

    A wrong class can only be memorised, so that few canaries show much; it costs a little accuracy. With its own class
    (--keep-label) a canary is just like a sample of a request, and more of them are needed.

        unlearn manifest canaries photos.parquet --count 200 --out photos-canaries.parquet
    """
    with told_errors(as_json=as_json), _bar() as progress:
        planted = plant_canaries(
            source, out, secret, count=count, mislabel=mislabel, key=secrets.token_bytes(KEY_BYTES), progress=progress
        )
    if as_json:
        print_json(
            {
                "path": str(planted.path),
                "sha256": planted.digest,
                "secret": str(secret),
                "commitment": planted.commitment,
                "train": planted.train,
                "heldout": planted.heldout,
                "canaries_in": planted.included,
                "canaries_out": planted.excluded,
            }
        )
        return
    rows = [
        ("samples", f"{planted.train} train (canaries among them), {planted.heldout} held out"),
        ("canaries", f"{planted.included} trained on, {planted.excluded} kept out"),
        ("sha256", planted.digest),
        ("secret", f"{secret} (keep it: it opens the commitment)"),
        ("commitment", planted.commitment),
    ]
    print_fields(f"Written to {planted.path}", rows)
    console.print(
        "Train the model on the train split of this manifest, canaries and all, and register it with this manifest and "
        f"--canaries {secret}. Do not show the secret to whoever trains or unlearns.",
        highlight=False,
    )


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
