"""The figures of a report, one a module: each makes of the report's numbers a drawing, its message and its table."""
