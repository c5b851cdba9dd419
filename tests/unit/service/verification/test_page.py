"""The verdict is read where a person reads it."""

import pytest

from service.verification.page import shown_verdicts


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        (b'<p>x</p><code id="verdict" data-verdict="REJECT">REJECT</code> y', ["REJECT"]),
        (b'<p id="verdict">\n  ACC<b>EPT</b></p>', ["ACCEPT"]),
        (b'<p id="verdict">REJECT</p><p id="verdict">ACCEPT</p>', ["REJECT", "ACCEPT"]),
        (b'<!-- <p id="verdict">ACCEPT</p> -->', []),
        (b"", []),
        (b"\xff<p id=verdict>\xff", ["\ufffd"]),
    ],
)
def test_the_verdict_is_the_text_of_the_element_that_has_its_id(page: bytes, shown: list[str]) -> None:
    assert shown_verdicts(page) == shown
