"""Fixtures that several kinds of tests use."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.servers import S3Server, seaweedfs

# How long an example takes says more about the machine's other work than about the code; `timeout` ends what hangs.
settings.register_profile("timeless", deadline=None)
settings.load_profile("timeless")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run one S3 server for the whole session."""
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server
