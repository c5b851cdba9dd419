"""The ROC curves show what few false alarms give away."""

import pytest

from mcu_core.report.evidence import RocCurve, Role
from service.report_page.figures import roc as roc_figure
from tests.report_parts import REPORT, made, with_evidence


def curve(*points: tuple[float, float]) -> RocCurve:
    false, true = zip(*points, strict=True)
    return RocCurve(role=Role.CANDIDATE, false_positive_rate=false, true_positive_rate=true, low=true, high=true)


def test_the_roc_axes_begin_at_the_smallest_share_of_false_alarms() -> None:
    assert roc_figure.floor_of([curve((0.0, 0.0), (0.004, 0.1), (1.0, 1.0))]) == pytest.approx(1e-3)
    assert roc_figure.floor_of([curve((0.0, 0.0), (1.0, 1.0))]) == pytest.approx(1e-1)
    assert roc_figure.floor_of([curve((1e-9, 0.0), (1.0, 1.0))]) == roc_figure.LEAST_FLOOR


def test_the_origin_is_not_drawn_on_logarithmic_axes() -> None:
    assert [point[:2] for point in roc_figure.visible(curve((0.0, 0.0), (0.0, 0.2), (1.0, 1.0)))] == [
        (0.0, 0.2),
        (1.0, 1.0),
    ]


def test_each_roc_curve_has_a_line_a_band_and_a_legend() -> None:
    figure = made(roc_figure.roc)

    for role in (Role.ORIGINAL, Role.CANDIDATE):
        assert f'class="line {roc_figure.STYLES[role]}"' in figure.drawing
        assert f'class="band {roc_figure.STYLES[role]}"' in figure.drawing
        assert roc_figure.STYLES[role] in {key.style for key in figure.legend}


@pytest.mark.parametrize(("rate", "text"), [(1.0, "100"), (0.1, "10"), (0.01, "1"), (0.001, "0.1"), (1e-5, "0.001")])
def test_a_decade_is_labelled_in_percent(rate: float, text: str) -> None:
    assert roc_figure.rate_label(rate).startswith(f"{text}\N{NARROW NO-BREAK SPACE}")


def test_an_auc_that_is_not_estimable_is_spoken_of_with_its_reason() -> None:
    none = REPORT.evidence.primary[0].model_copy(update={"value": None, "not_estimable": "too few samples"})
    figure = made(roc_figure.roc, with_evidence(primary=(none, *REPORT.evidence.primary[1:])))

    assert "after it not estimable (too few samples)" in figure.message
