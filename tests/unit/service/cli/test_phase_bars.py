import io

from rich.console import Console
from rich.progress import Progress

from service.cli.phase_bars import PhaseBars


def test_what_begins_anew_under_the_same_name_is_shown_again() -> None:
    with Progress(console=Console(file=io.StringIO())) as bars:
        told = PhaseBars(bars)
        seen = []
        for what, done, total in (("a", 1, 4), ("a", 4, 4), ("b", 2, 3), ("a", 1, 4), ("a", 2, 4), ("a", 0, 4)):
            told(what, done, total)
            seen.append([(task.description, task.completed) for task in bars.tasks if task.visible])
    assert seen == [[("a", 1)], [("a", 4)], [("b", 2)], [("a", 1)], [("a", 2)], [("a", 0)]]
