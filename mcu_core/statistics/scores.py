"""The scores of every sample that an audit reads, and their Parquet file: what SCORE hands to STATS.

One row a sample. Nothing in it names a sample: rows are numbered anew, subjects too, and neither number means anything
outside the file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from mcu_core.errors import DataError
from mcu_core.report.evidence import Facts, Group, Role

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
MAX_SAMPLES = 10_000_000
"""Of one table. Equal numbers in a row take no room in the file: a few megabytes may name billions of samples, and
whoever reads scores holds all of them in memory."""
_FACTS = b"unlearning.facts"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelScores:
    """What one model says of each sample; higher is more like a member, everywhere."""

    phi: Floats
    """z_y - logsumexp of the other logits, `[N]`."""
    confidence: Floats
    """p_y, `[N]` in [0, 1]."""
    loss: Floats
    """-CE = log p_y, `[N]`, at most 0."""
    entropy: Floats
    """sum p log p, `[N]`, at most 0."""
    modified_entropy: Floats
    """(1 - p_y) log p_y + sum over other classes of p_i log(1 - p_i), `[N]`, at most 0 (Song & Mittal 2021)."""
    prediction: Integers
    """argmax, `[N]`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReferenceScores:
    """What models that never saw a sample say of it, averaged over those models."""

    phi: Floats
    """Mean phi, `[N]`."""
    confidence: Floats
    """Mean p_y, `[N]`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreTable:
    """Everything that STATS reads beside the plan."""

    facts: Facts
    group: NDArray[np.str_]
    """Value of `Group`, `[N]`."""
    label: Integers
    """Class, `[N]`."""
    subject: Integers
    """Samples of one person share a number, `[N]`: what is resampled."""
    blind: Floats
    """Plain statistics of each image that no model is asked for, such as mean and contrast, `[N, F]`, F at least 1:
    with the label, what the blind baseline sees."""
    models: Mapping[Role, ModelScores]
    """At least original, candidate and relearned."""
    references: ReferenceScores | None

    def rows(self, group: Group) -> Integers:
        """Return the positions of a group's samples, ascending; empty where it has none."""
        return np.flatnonzero(self.group == group.value)

    def require_finite(self) -> None:
        """Raise where a score is NaN or infinite.

        Raises:
            DataError: one is; no number of the report could be trusted.
        """
        scored: list[ModelScores | ReferenceScores] = list(self.models.values())
        if self.references is not None:
            scored.append(self.references)
        columns = [self.blind, *(getattr(scores, field.name) for scores in scored for field in fields(scores))]
        if not all(np.isfinite(column).all() for column in columns):
            raise DataError("scores must be finite: a model answered with NaN or infinity")


def to_parquet(table: ScoreTable) -> bytes:
    """Return the table as one Parquet file with the facts in its metadata; equal tables give equal bytes."""
    columns: dict[str, NDArray[np.generic]] = {"group": table.group, "label": table.label, "subject": table.subject}
    columns |= {f"blind.{index}": statistic for index, statistic in enumerate(table.blind.T)}
    for role in (role for role in Role if role in table.models):  # in one order, whatever the mapping's
        scores = table.models[role]
        columns |= {f"{role.value}.{field.name}": getattr(scores, field.name) for field in fields(scores)}
    if table.references is not None:
        references = table.references
        columns |= {f"reference.{field.name}": getattr(references, field.name) for field in fields(references)}
    arrow = pa.table({name: pa.array(column) for name, column in columns.items()})
    arrow = arrow.replace_schema_metadata({_FACTS: table.facts.model_dump_json().encode()})
    sink = BytesIO()
    pq.write_table(arrow, sink, compression="zstd")
    return sink.getvalue()


def from_parquet(content: bytes) -> ScoreTable:
    """Read a table that `to_parquet` wrote; the file may come from anybody.

    Raises:
        DataError: it is no such file, has other columns or kinds of numbers, too many rows, or a number that is not
            finite.
    """
    try:
        file = pq.ParquetFile(BytesIO(content))
        _require_size(file.metadata)
        _require_columns(file.schema_arrow)
        arrow = file.read()
        _require_filled(arrow)
        facts = Facts.model_validate_json(arrow.schema.metadata[_FACTS])
        columns = {name: arrow.column(name).to_numpy() for name in arrow.column_names}
        roles = [role for role in Role if f"{role.value}.phi" in columns]
        models = {role: ModelScores(**_columns(ModelScores, role.value, columns)) for role in roles}
        references = (
            ReferenceScores(**_columns(ReferenceScores, "reference", columns)) if "reference.phi" in columns else None
        )
        table = ScoreTable(
            facts=facts,
            group=columns["group"].astype(np.str_),
            label=columns["label"],
            subject=columns["subject"],
            blind=_blind(columns),
            models=models,
            references=references,
        )
    except (pa.ArrowException, ValidationError, KeyError, ValueError, OSError) as error:
        raise DataError(f"these are no scores of an audit: {type(error).__name__}") from error
    table.require_finite()
    return table


def _require_size(metadata: pq.FileMetaData) -> None:
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    counted = [group.column(index).num_values for group in groups for index in range(group.num_columns)]
    rows = max(metadata.num_rows, sum(group.num_rows for group in groups), *counted, 0)
    if rows > MAX_SAMPLES:
        raise DataError(f"these scores name {rows} samples, more than {MAX_SAMPLES}")


def _require_columns(schema: pa.Schema) -> None:
    """Raise unless the columns are those of `to_parquet`: whatever else was there would be published unread."""
    names = set(schema.names)
    if set(schema.metadata or ()) != {_FACTS}:
        raise DataError("these scores come with other metadata than scores of an audit")
    expected = {"group": pa.string(), "label": pa.int64(), "subject": pa.int64()}
    expected |= {f"blind.{index}": pa.float64() for index in range(max(1, _blind_count(names)))}
    for role in (role.value for role in Role if any(name.startswith(f"{role.value}.") for name in names)):
        expected |= {f"{role}.{field.name}": pa.float64() for field in fields(ModelScores)}
        expected[f"{role}.prediction"] = pa.int64()
    if any(name.startswith("reference.") for name in names):
        expected |= {f"reference.{field.name}": pa.float64() for field in fields(ReferenceScores)}
    if len(names) != len(schema.names) or names != expected.keys():
        raise DataError("these scores have other columns than scores of an audit")
    wrong = sum(schema.field(name).type != kind for name, kind in expected.items())
    if wrong:
        raise DataError(f"{wrong} columns of these scores hold something else than scores of an audit")


def _require_filled(table: pa.Table) -> None:
    if any(table.column(name).null_count for name in table.column_names):
        raise DataError("these scores have samples without a value")
    unknown = set(table.column("group").unique().to_pylist()) - {group.value for group in Group}
    if unknown:
        raise DataError(f"these scores have {len(unknown)} parts of the data that no audit has")


def _blind_count(names: Iterable[str]) -> int:
    return sum(name.startswith("blind.") for name in names)


def _blind(columns: Mapping[str, NDArray[Any]]) -> Floats:
    return np.stack([columns[f"blind.{index}"] for index in range(_blind_count(columns))], axis=1)


def _columns(kind: type, prefix: str, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {field.name: columns[f"{prefix}.{field.name}"] for field in fields(kind)}
