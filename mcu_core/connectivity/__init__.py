"""Mode Connectivity Unlearning: a curve of models from the original to a pre-unlearned one (arXiv 2505.10859)."""
