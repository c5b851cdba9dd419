"""Rivals from other papers beside the paper's own θ_p and its pathway: random deletion, no ends of a pathway."""

from mcu_core.config import BadTeacherConfig, L1SparseConfig, ScrubConfig, SsdConfig
from mcu_core.errors import ConfigurationError
from mcu_core.experiments.paper import NamedMethod, Study, neggrad_plus
from mcu_core.experiments.tables import ADAPTIVE, Row, truth_rows, unlearned_row


def rival_methods(study: Study) -> tuple[NamedMethod, ...]:
    """Return the rivals with our default settings: their papers tune them by data set."""
    scrub, sparse, bad = ScrubConfig(), L1SparseConfig(), BadTeacherConfig()
    train = study.train(scrub.train)
    ascent_epochs = min(scrub.ascent_epochs, train.epochs)
    return (
        NamedMethod(name="SCRUB", config=scrub.model_copy(update={"train": train, "ascent_epochs": ascent_epochs})),
        NamedMethod(name="SSD", config=SsdConfig()),
        NamedMethod(name="L1-sparse", config=sparse.model_copy(update={"train": study.train(sparse.train)})),
        NamedMethod(name="BadTeacher", config=bad.model_copy(update={"train": study.train(bad.train)})),
    )


def rival_rows(study: Study) -> tuple[Row, ...]:
    """Return the rows of the comparison, the original and RT first.

    Raises:
        ConfigurationError: so much is forgotten that SSD's α can never be exceeded.
    """
    most = 1.0 / SsdConfig().alpha
    if study.share >= most:
        raise ConfigurationError(
            f"SSD selects nothing where {study.share:.0%} is forgotten: take a share below {most:g}"
        )
    deletion, worlds = study.random, [study.world(seed) for seed in study.seeds]
    end = NamedMethod(name="NegGrad+", config=neggrad_plus(study, deletion))
    pathways = tuple(study.pathway(seed, deletion, end.config, ADAPTIVE) for seed in study.seeds)
    return (
        *truth_rows(worlds, deletion),
        unlearned_row(end.name, worlds, deletion, end.config),
        Row(name=f"MCU_β-{end.name}", cells=pathways, rests_on=end.name),
        *(unlearned_row(method.name, worlds, deletion, method.config) for method in rival_methods(study)),
    )
