"""What an audit of a forget set of some size can honestly claim at most."""

_CLAIMS: tuple[tuple[int, str], ...] = (
    (
        400,
        "With {n} samples the audit can show that forgotten and unseen ones differ by little (AUC within about .05).",
    ),
    (100, "With {n} samples the audit can show that forgotten and unseen ones do not differ much (AUC within .10)."),
    (10, "With {n} samples the audit can detect gross retention only; a partial trace may stay unseen."),
    (1, "With {n} samples no statistical claim on the set is possible; expect a person to be asked for the decision."),
)
"""(smallest size, text), largest first; sizes from the half-width of a 95 % interval on AUC."""


def strongest_claim(forget_count: int) -> str:
    """Return the strongest claim that the audit of this many samples may end with."""
    text = next((claim for smallest, claim in _CLAIMS if forget_count >= smallest), "Nothing is left to forget.")
    return text.format(n=forget_count)
