"""Verification of a bundle, offline: who signed what, whether it belongs together, whether it recomputes."""
