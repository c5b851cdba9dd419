"""GATE: evidence and a policy in, a verdict out. Pure Python; needs neither torch nor NumPy nor the data."""
