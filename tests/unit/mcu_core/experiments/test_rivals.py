"""The rivals from other papers beside the paper's own."""

import pytest

from mcu_core.config import BadTeacherConfig, L1SparseConfig, ScrubConfig, SsdConfig
from mcu_core.errors import ConfigurationError
from mcu_core.experiments.artefacts import Artefact, cells_of
from mcu_core.experiments.cells import UnlearnedCell
from mcu_core.experiments.rivals import rival_methods, rival_rows
from tests.studies import tiny_study

STUDY = tiny_study(seeds=(0, 1))


def test_four_rivals_stand_beside_neggrad_plus_and_its_pathway() -> None:
    rows = rival_rows(STUDY)
    assert [row.name for row in rows] == [
        "Original", "RT", "NegGrad+", "MCU_β-NegGrad+", "SCRUB", "SSD", "L1-sparse", "BadTeacher",
    ]  # fmt: skip
    assert [row.name for row in rows if row.rests_on] == ["MCU_β-NegGrad+"]


def test_what_table_1_measured_is_taken_from_there() -> None:
    rows = rival_rows(STUDY)
    known = set(cells_of(Artefact.TABLE1, STUDY))
    assert [row.name for row in rows if set(row.cells) <= known] == ["Original", "RT", "NegGrad+", "MCU_β-NegGrad+"]


def test_rivals_have_their_default_settings() -> None:
    untouched = STUDY.model_copy(update={"method_epochs": None})
    assert [method.config for method in rival_methods(untouched)] == [
        ScrubConfig(), SsdConfig(), L1SparseConfig(), BadTeacherConfig(),
    ]  # fmt: skip


@pytest.mark.parametrize("epochs", [1, 2, 7])
def test_a_rival_with_other_epochs_is_read_again_from_its_record(epochs: int) -> None:
    """SCRUB has no more epochs with an ascent than epochs, and a copy is not validated."""
    for row in rival_rows(STUDY.model_copy(update={"method_epochs": epochs})):
        for cell in row.cells:
            assert type(cell).model_validate_json(cell.model_dump_json()) == cell
            if isinstance(cell, UnlearnedCell) and isinstance(cell.method, ScrubConfig):
                assert cell.method.ascent_epochs == min(3, epochs)


def test_a_share_at_which_ssd_selects_nothing_is_refused_before_anything_runs() -> None:
    assert rival_rows(STUDY.model_copy(update={"share": 0.19}))
    with pytest.raises(ConfigurationError, match=r"share below 0\.2"):
        rival_rows(STUDY.model_copy(update={"share": 1.0 / SsdConfig().alpha}))
