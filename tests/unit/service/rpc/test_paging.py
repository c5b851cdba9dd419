"""Page sizes and tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidRequestError
from service.rpc.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, make_token, page_size, read_token

KINDS = (int, str)
cursors = st.tuples(st.integers(-(2**53) + 1, 2**53 - 1), st.text(st.characters(codec="utf-8"), max_size=40))
scopes = st.lists(st.text(st.characters(codec="utf-8"), max_size=10), max_size=4)


@given(cursor=cursors, scope=scopes)
def test_a_token_gives_its_cursor_back(cursor: tuple[int, str], scope: list[str]) -> None:
    assert read_token(make_token(cursor, scope), scope, KINDS) == cursor


@given(cursor=cursors, scope=scopes, other=scopes)
def test_a_token_is_of_no_use_elsewhere(cursor: tuple[int, str], scope: list[str], other: list[str]) -> None:
    if scope != other:
        with pytest.raises(InvalidRequestError):
            read_token(make_token(cursor, scope), other, KINDS)


@given(cursor=cursors, position=st.integers(0), character=st.sampled_from("AZaz09-_=!\n "))
def test_a_changed_token_is_refused(cursor: tuple[int, str], position: int, character: str) -> None:
    token = make_token(cursor, ["scope"])
    at = position % len(token)
    changed = token[:at] + character + token[at + 1 :]
    try:
        read = read_token(changed, ["scope"], KINDS)
    except InvalidRequestError:
        return
    assert read == cursor, "only another spelling of the same cursor may pass"


@given(token=st.text(min_size=1, max_size=2000))
def test_nonsense_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequestError):
        read_token(token, ["scope"], KINDS)


@pytest.mark.parametrize("kinds", [(int,), (str, int), (int, str, str), (bool, str)])
def test_a_cursor_of_another_shape_is_refused(kinds: tuple[type, ...]) -> None:
    with pytest.raises(InvalidRequestError):
        read_token(make_token((1, "a"), []), [], kinds)


def test_the_first_page_has_no_token() -> None:
    assert read_token("", [], KINDS) is None


@pytest.mark.parametrize(
    ("asked", "got"), [(0, DEFAULT_PAGE_SIZE), (1, 1), (MAX_PAGE_SIZE, MAX_PAGE_SIZE), (2**31 - 1, MAX_PAGE_SIZE)]
)
def test_a_page_has_as_many_items_as_allowed(asked: int, got: int) -> None:
    assert page_size(asked) == got
