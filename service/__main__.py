"""Entry point of `unlearn` and `python -m service`."""

import typer

from service.cli import (
    bench,
    connect,
    evidence,
    holds,
    ledger,
    manifests,
    models,
    references,
    releases,
    runs,
    selections,
    serving,
    tickets,
)
from service.demo import demo

app = typer.Typer(
    name="unlearn",
    help="Make a trained model forget samples, audit that it did, and publish the new version.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command()(demo)
app.command()(serving.serve)
app.command()(serving.work)
app.command()(tickets.submit)
app.command()(selections.upload)
app.command()(tickets.watch)
app.command()(tickets.get)
app.command("list")(tickets.list_tickets)
app.command()(tickets.cancel)
app.command()(tickets.extend)
app.command()(tickets.report)
app.command()(tickets.receipt)
app.command()(evidence.bundle)
app.command()(evidence.verify)
app.command("verify-receipt")(evidence.verify_receipt)
app.add_typer(evidence.keys, name="keys")
app.command()(bench.bench)
app.command()(connect.connect)
app.command()(connect.connect_study)
app.add_typer(holds.app, name="hold")
for command in (releases.releases, releases.release, releases.acknowledge, releases.check):
    models.app.command()(command)
app.add_typer(ledger.app, name="ledger")
app.add_typer(models.app, name="model")
app.add_typer(runs.app, name="run")
app.add_typer(manifests.app, name="manifest")
app.add_typer(references.app, name="references")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
