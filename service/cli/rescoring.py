"""Level 3 of `unlearn verify`: opens what an audit rested on, where the service's data are, and shows the scoring."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcu_core.report import AuditReport
from mcu_core.statistics.scores import ScoreTable
from service.bootstrap import build_local_tools
from service.cli.phase_bars import phase_bars
from service.cli.serving import PRIVATE
from service.premises import PremiseSource
from service.settings import Settings
from service.verification.rescoring import Rescore


@contextmanager
def rescoring(*, original: Path | None, candidate: Path | None, threads: int | None) -> Iterator[Rescore]:
    """Open store and objects of the service, and yield what scores a report's attempt once more.

    Args:
        original: weights that somebody kept, in place of the object store's.
        candidate: likewise.
        threads: CPU threads; `None` takes what the settings say, or else the idle cores.

    Raises:
        ImportError: the packages of the worker are not installed.
        InvalidRequestError: no service has worked where the settings say.
        OSError: a file of weights cannot be read.
    """
    from service.worker.rescore import Rescorer  # noqa: PLC0415  # torch is loaded here and nowhere else

    os.umask(PRIVATE)
    settings = Settings()
    weights = {
        name: None if path is None else path.read_bytes()
        for name, path in (("original", original), ("candidate", candidate))
    }
    tools = build_local_tools(settings)
    source = PremiseSource(store=tools.store, objects=tools.objects, manifests=tools.manifests, key=tools.key)
    try:
        with phase_bars() as told:
            rescorer = Rescorer(
                objects=tools.objects,
                folder=settings.caches,
                told=told,
                threads=threads or settings.worker_threads,
            )

            def rescore(report: AuditReport, planned_at: int) -> ScoreTable:
                return rescorer.rescore(source.gather(report, planned_at, **weights), report)

            yield rescore
    finally:
        tools.store.close()
