"""The unlearning job's side of the service: the only package that loads torch."""
