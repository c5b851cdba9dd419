"""What is measured, and how: each module is a command, `python -m benchmarks.step` and the like."""
