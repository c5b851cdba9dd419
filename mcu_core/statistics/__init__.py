"""STATS: scores and plan in, evidence out. Pure; NumPy, SciPy, scikit-learn and statsmodels; no torch."""
