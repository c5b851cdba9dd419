"""Difficulty calibration: what a model says of a sample beyond what any model would."""

from mcu_core.statistics.scores import Floats


def calibrated(phi: Floats, reference_phi: Floats) -> Floats:
    """Return φ - mean φ_ref.

    Args:
        phi: float64 `[N]`, of the model.
        reference_phi: float64 `[N]`, mean over models that never saw the sample.

    Returns:
        float64 `[N]`; 0 where the model treats a sample as unseeing ones do.

    Source: Watson et al., arXiv 2111.08440, section 4, with φ for the score.
    """
    return phi - reference_phi
