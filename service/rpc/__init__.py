"""The gRPC side: protobuf types stop here."""
