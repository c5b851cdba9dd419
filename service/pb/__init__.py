"""Generated code; never edited."""
