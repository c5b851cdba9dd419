"""Building manifests from the data sets that people have."""
