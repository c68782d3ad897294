"""Hashes of values."""

from hypothesis import given
from hypothesis import strategies as st

from codec.hashing import sha256_of_list, sha256_of_values

VALUES = st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.booleans())


@given(st.lists(VALUES))
def test_a_list_hashed_bit_by_bit_is_the_list(values: list[dict[str, object]]) -> None:
    assert sha256_of_list(iter(values)) == sha256_of_values(values)
