"""Stamps of messages are exact integers."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from avsol_ros.messages.stamps import stamp_to_ns


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 10**9 - 1))
def test_a_stamp_is_its_nanoseconds(seconds, rest):
    assert stamp_to_ns(SimpleNamespace(sec=seconds, nanosec=rest)) == seconds * 10**9 + rest
