"""What the audit can see: how often it errs where nothing is, what it finds where something is, and how long it takes.

`python -m benchmarks.audit --help` lists the parts. Each part goes on where it was interrupted; its results are JSON
under `benchmarks/results/audit/`, and `page` renders them as one Markdown page.
"""
