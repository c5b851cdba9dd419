"""The relative membership inference attack, offline."""

import numpy as np

from mcu_core.statistics.scores import Floats


def rmia(
    confidence: Floats,
    reference_confidence: Floats,
    population: Floats,
    reference_population: Floats,
    *,
    offset: float,
) -> Floats:
    """Return the share of non-members z that a sample x dominates in likelihood ratio.

    score(x) = #{z : ratio(x) / ratio(z) ≥ 1} / m,  ratio(x) = p(x; θ) / p(x),  p(x) = ((1 + a) p_ref(x) + (1 - a)) / 2

    p_ref averages models that did not see x; a corrects it towards the average over models of which half did.

    Args:
        confidence: float64 `[n]` in [0, 1], p(x; θ) of the samples in question.
        reference_confidence: float64 `[n]`, p_ref of them.
        population: float64 `[m]`, p(z; θ) of non-members; at least one.
        reference_population: float64 `[m]`, p_ref of them.
        offset: a in [0, 1].

    Returns:
        float64 `[n]` in [0, 1].

    Source: Zarifzadeh et al., arXiv 2312.03262, equations 3, 4 and 10, with γ = 1.
    """
    ratios = _ratio(confidence, reference_confidence, offset)
    others = np.sort(_ratio(population, reference_population, offset))
    dominated = np.searchsorted(others, ratios, side="right") / len(others)
    return np.asarray(dominated, dtype=np.float64)


def _ratio(confidence: Floats, reference: Floats, offset: float) -> Floats:
    evidence = ((1.0 + offset) * reference + (1.0 - offset)) / 2.0
    return confidence / np.maximum(evidence, np.finfo(np.float64).tiny)  # 0 only at a = 1 and p_ref = 0
