"""The deletion-request service: tickets in, audited model versions out."""
