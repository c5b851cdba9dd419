"""Real and in-memory implementations of the ports; built in `service.bootstrap` and nowhere else."""
