"""Protobuf to domain and back: the only place that looks into both."""
