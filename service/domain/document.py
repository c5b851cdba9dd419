"""What every record that is stored as canonical JSON is made of."""

from pydantic import BaseModel, ConfigDict

from service.domain.canonical import canonical_bytes, canonical_digest


class Document(BaseModel):
    """A frozen record that refuses unknown fields; equal records have equal bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_bytes(self) -> bytes:
        """Return the canonical JSON."""
        return canonical_bytes(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the canonical JSON."""
        return canonical_digest(self.model_dump(mode="json"))
