"""Measuring what an unlearned model still shows of the deleted samples, on data that chose nothing."""
