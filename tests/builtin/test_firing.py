"""All sites are judged at once as they were one by one; without this a net whose sites change would be judged
by units of another layer.
"""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tests.builtin.runs import silence
from torchvitals.builtin.parts.firing import course, silent

POSITIONS = 12
ON = np.ones(2, bool)
UNITS = st.lists(st.booleans(), min_size=1, max_size=2).map(np.array)
SITES = st.dictionaries(st.sampled_from(["a", "b", "c"]), UNITS, max_size=3)
RUNS = st.lists(st.tuples(SITES, st.integers(1, 9)), min_size=1, max_size=12)


def slowly(looks, site, least):
    """Units of the site silent at all of the positions, look by look; None where there were too few."""
    seen, fired = 0.0, None
    for table in (look["silence"] for look in looks if site in look["silence"].names):
        bits = table.units["fired"][table.index(site)]
        if fired is not None and len(fired) != len(bits):
            return None
        fired = bits if fired is None else fired | bits
        seen += table["positions"][table.index(site)]
        if seen >= POSITIONS:
            break
    return ~fired if fired is not None and seen >= least else None


@given(
    RUNS | st.tuples(SITES, st.lists(st.integers(1, 9), min_size=1)).map(lambda r: [(r[0], n) for n in r[1]])
)
@example([({"a": ON}, 9)] * 2 + [({"a": ON, "b": ~ON}, 9)] * 2)  # a site that comes late
def test_units_of_all_sites_are_silent_where_those_of_each_site_are(run):
    looks = [silence(step, sites, positions=n) for step, (sites, n) in enumerate(run)]
    for order in (looks, looks[::-1]):
        for least in (POSITIONS, POSITIONS / 4):
            sites = looks[-1]["silence"].names
            found = silent(course(order, sites, until=POSITIONS), positions=POSITIONS, least=least)
            expected = {site: slowly(order, site, least) for site in sites}
            assert {site: found[site].tolist() for site in sites if site in found} == {
                site: units.tolist() for site, units in expected.items() if units is not None
            }
