"""The tables of a report, for statisticians and for whoever follows the evidence."""
