"""The relearning curve says whether the deleted samples come back."""

from mcu_core.report.evidence import RelearningPoint
from service.report_page.figures.relearning import relearning
from tests.report_parts import made, with_facts


def test_relearning_says_where_it_begins_and_ends() -> None:
    points = (
        RelearningPoint(epochs=0.5, forget_accuracy=0.95, auc=0.71),
        RelearningPoint(epochs=0.0, forget_accuracy=0.9, auc=0.502),
    )
    message = made(relearning, with_facts(relearning=points)).message

    assert "After 0.5 epochs" in message
    assert "from 0.502 to 0.710; before deletion it was 0.750" in message


def test_what_was_not_probed_is_not_drawn() -> None:
    assert relearning(with_facts(relearning=())) is None
