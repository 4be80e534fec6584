"""TV101 accuses the dead and nobody else; without this a healthy sparse net would raise an alarm."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.runs import broken, halved, incidents, only, silence, silent, verdict, window
from torchvitals.builtin.dead_units import DeadUnits
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot

TV101 = DeadUnits()
ALIVE = np.ones(100, bool)


def dead(share: float, units: int = 100) -> np.ndarray:
    """Whether each unit fired, where the first part of them did not."""
    return np.arange(units) >= share * units


def dying(*, at: int, steps: int, share: float = 0.6, site: str = "fc2", **options):
    """A run of three layers in which `share` of one layer dies."""
    for step in range(steps):
        sites = {"fc1": ALIVE, "fc2": ALIVE, "fc3": ALIVE}
        yield silence(step, {**sites, site: dead(share) if step >= at else ALIVE}, **options)


def test_sixty_percent_dead_in_one_layer_beside_healthy_ones_is_critical_with_name_and_share():
    finding = only(TV101, window([silence(0, {"fc1": ALIVE, "fc2": dead(0.6), "fc3": ALIVE})]))
    assert (finding.severity, finding.where, finding.since) == (Severity.CRITICAL, ("fc2",), 0)
    assert finding.message == "60% of the 100 units of fc2 (relu) are dead."
    assert finding.evidence == {
        "dead_share": 0.6,
        "dead_share_at_start": 0.6,
        "dead_share_of_neighbours": 0.0,
        "layers_affected": 1,
        "loss_stands_still": "false",
    }


def test_units_that_never_fired_were_born_dead_and_get_another_remedy_than_those_that_died():
    born = only(TV101, window([silence(0, {"fc1": ALIVE, "fc2": dead(0.6)})]))
    died = only(TV101, window(dying(at=5, steps=40)))
    assert (born.cause, died.cause) == (
        "born dead: bias or initialisation",
        "died in training: a step too large",
    )
    assert born.remedies[0].overrides == ("init=he_normal",)
    assert died.remedies[0].text.startswith("Lower the learning rate")


def test_95_percent_zero_outputs_are_healthy_while_every_unit_fires_now_and_then():
    # Every unit fires at one look in twenty, so that 95 % of its outputs are 0.
    every = [np.arange(100) % 20 == step % 20 for step in range(60)]
    assert silent(TV101, window(silence(i, {"fc1": e, "fc2": e}, positions=100) for i, e in enumerate(every)))


def test_twenty_percent_silent_since_the_start_are_forgiven():
    assert silent(TV101, window(silence(i, {"fc1": dead(0.2), "fc2": dead(0.2)}) for i in range(30)))


def test_a_deep_net_that_was_born_sixty_percent_silent_in_all_layers_is_forgiven():
    assert silent(TV101, window(silence(i, {"fc1": dead(0.6), "fc2": dead(0.6)}) for i in range(30)))


def test_death_at_step_30_is_dated_to_step_30():
    assert only(TV101, window(dying(at=30, steps=40))).since == 30


def test_death_at_step_30_is_dated_to_the_next_look_where_looks_are_rare():
    assert only(TV101, window(s for s in dying(at=30, steps=41) if s.step % 4 == 0)).since == 32


def test_death_late_in_a_long_run_is_measured_against_the_start():
    finding = only(TV101, window(dying(at=450, steps=500, share=0.4)))
    assert (finding.severity, finding.since) == (Severity.WARNING, 450)
    assert finding.evidence["dead_share_at_start"] == 0.0


def test_a_layer_of_which_forty_percent_died_is_a_warning():
    assert only(TV101, window(dying(at=3, steps=10, share=0.4))).severity is Severity.WARNING


def test_a_layer_of_which_a_quarter_died_is_nothing():
    assert silent(TV101, window(dying(at=3, steps=10, share=0.25)))


def test_a_whole_silent_layer_is_critical_even_where_all_layers_are():
    finding = only(TV101, window([silence(0, {"fc1": dead(1), "fc2": dead(1)})]))
    assert (finding.severity, finding.where) == (Severity.CRITICAL, ("fc1", "fc2"))
    assert finding.message == "100% of the 100 units of fc1 (relu) are dead; 2 of 2 layers are affected."


def test_the_worst_layer_comes_first():
    sites = {"fc1": dead(0.6), "fc2": ALIVE, "fc3": dead(0.8), "fc4": ALIVE}
    assert only(TV101, window([silence(0, sites)])).where == ("fc3", "fc1")


@pytest.mark.parametrize("op", ["leaky_relu", "prelu"])
@pytest.mark.parametrize("share", [0.6, 1.0])
def test_leaky_units_are_a_note_at_most(op, share):
    assert (
        only(TV101, window([silence(0, {"fc1": dead(share), "fc2": ALIVE}, op=op)])).severity is Severity.INFO
    )


def test_too_few_positions_say_nothing():
    assert silent(TV101, window(silence(i, {"fc1": dead(1)}, positions=100) for i in range(13)))
    assert not silent(TV101, window(silence(i, {"fc1": dead(1)}, positions=100) for i in range(14)))


def test_a_unit_that_fired_within_the_latest_1400_positions_is_alive():
    late = [silence(i, {"fc1": dead(1)}, positions=100) for i in range(20)]
    late[7] = silence(7, {"fc1": ALIVE}, positions=100)
    assert silent(TV101, window(late))
    late[7], late[5] = late[5], silence(5, {"fc1": ALIVE}, positions=100)
    assert not silent(TV101, window(sorted(late, key=lambda s: s.step)))


def test_units_that_come_back_resolve_the_incident():
    run = [
        *dying(at=5, steps=10),
        *(silence(i, {"fc1": ALIVE, "fc2": ALIVE, "fc3": ALIVE}) for i in range(10, 14)),
    ]
    (incident,) = incidents(TV101, run)
    assert (incident.onset, incident.last_seen, incident.resolved) == (5, 9, 12)


def test_a_layer_that_was_made_wider_is_judged_by_its_new_units_only():
    run = [silence(i, {"fc1": dead(1, units=50), "fc2": ALIVE}) for i in range(10)]
    grown = silence(10, {"fc1": ALIVE, "fc2": ALIVE})
    assert silent(TV101, window([*run, grown]))
    assert silent(TV101, window([*run, silence(10, {"fc1": dead(1), "fc2": ALIVE}, positions=100)]))
    died = [silence(i, {"fc1": dead(0.7), "fc2": ALIVE}) for i in range(11, 14)]
    assert only(TV101, window([*run, grown, *died])).since == 11


def test_a_site_that_the_latest_look_did_not_reach_is_not_judged():
    assert silent(TV101, window([silence(0, {"fc1": dead(1), "fc2": ALIVE}), silence(1, {"fc2": ALIVE})]))


bits = st.lists(st.booleans(), min_size=8, max_size=8).map(lambda x: np.array(x, bool))
runs = st.lists(st.fixed_dictionaries({"fc1": bits, "fc2": bits, "fc3": bits}), min_size=1, max_size=6)


def snapshots(run) -> list[Snapshot]:
    return [silence(i, sites) for i, sites in enumerate(run)]


@given(runs, st.permutations(range(8)))
def test_the_order_of_units_within_a_layer_does_not_matter(run, order):
    moved = [{site: fired[order] for site, fired in sites.items()} for sites in run]
    findings = [list(TV101.diagnose(window(snapshots(r)))) for r in (run, moved)]
    assert findings[0] == findings[1]


@given(runs)
def test_two_micro_batches_are_judged_as_the_batch_they_make(run):
    findings = [list(TV101.diagnose(window(r))) for r in (snapshots(run), map(halved, snapshots(run)))]
    assert findings[0] == findings[1]


@given(runs, st.data())
def test_a_non_finite_step_changes_nothing_on_the_finite_rest(run, data):
    place = data.draw(st.integers(0, len(run)))
    finite = [silence(2 * i, sites) for i, sites in enumerate(run)]
    bad = broken(finite[0], 2 * place - 1)
    together = sorted([*finite, bad], key=lambda s: s.step)
    assert verdict(TV101.diagnose(window(together))) == verdict(TV101.diagnose(window(finite)))


def falling(run) -> list[Snapshot]:
    """The run with a loss that falls by a twentieth at every look."""
    return [replace(s, scalars={**s.scalars, "loss": 0.95**i}) for i, s in enumerate(run)]


def test_units_that_die_while_the_loss_falls_are_a_note():
    finding = only(TV101, window(falling(dying(at=3, steps=40, share=0.4))))
    assert finding.severity is Severity.INFO
    assert finding.evidence["loss_stands_still"] == "false"


def test_a_layer_that_lost_far_more_than_its_neighbours_is_critical_also_while_the_loss_falls():
    assert only(TV101, window(falling(dying(at=3, steps=40)))).severity is Severity.CRITICAL


@pytest.mark.parametrize(("batch", "judged"), [(17, True), (8, True), (5, True), (4, False), (1, False)])
def test_small_batches_are_judged_once_the_window_is_full_or_said_to_be_too_few(batch, judged):
    given = window(silence(i, {"fc1": dead(1)}, positions=batch) for i in range(90))
    assert silent(TV101, given) is not judged
    assert (TV101.blind(given) is None) is judged
    assert judged or "fewer than 1400 positions" in str(TV101.blind(given))
