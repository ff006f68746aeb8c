"""The page on time says the thresholds that the code has."""

import re
from pathlib import Path

from avsol_ros.streams import time_jumps

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'time.md'
UNITS_NS = {'s': 10**9, 'ms': 10**6}


def test_the_page_has_every_threshold_with_its_value():
    rows = re.findall(r'^\| `([A-Z_]+_NS)` \| ([\d.]+) (m?s) \|', PAGE.read_text(), re.MULTILINE)
    told = {name: round(float(number) * UNITS_NS[unit]) for name, number, unit in rows}
    assert told == {
        name: value for name, value in vars(time_jumps).items() if name.endswith('_NS')
    }


def test_going_back_by_the_limit_is_no_jump():
    assert not time_jumps.goes_back(0, 10**9)
    assert time_jumps.goes_back(-1, 10**9)
    assert time_jumps.goes_back(0, 2, limit_ns=1)
