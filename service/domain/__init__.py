"""The rules of deletion: pure, without I/O, clock or torch."""
