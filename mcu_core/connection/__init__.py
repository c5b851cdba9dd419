"""The connectivity study: two unlearned models, the paths between them, and what happens along these."""
