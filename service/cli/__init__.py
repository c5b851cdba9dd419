"""The command line: `unlearn`."""
