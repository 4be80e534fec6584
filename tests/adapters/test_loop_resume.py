"""A plain loop that goes on from a state is watched as if it had never stopped."""

import io
import time

import pytest
import torch
import torch.nn.functional as F

import torchvitals
from tests.support.networks import NETWORKS, batches
from torchvitals import Schedule
from torchvitals.checkpoint import packed
from torchvitals.core.errors import FieldError
from torchvitals.probes.mixing import MixingProbe


def train(vitals, model, optimizer, made):
    for x, y in made:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        vitals.step(loss)


def watched(name, lr):
    torch.manual_seed(0)
    model = NETWORKS[name]()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    return model, optimizer, torchvitals.watch(model, optimizer, reporters=[], strict=True)


def through_a_file(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("lr", [0.05, 30.0], ids=["healthy", "sick"])
@pytest.mark.parametrize("name", ["resnet", "lstm"])
def test_a_loop_in_two_parts_has_the_report_of_the_whole(name, lr):
    made = batches(name, 60)
    model, optimizer, whole = watched(name, lr)
    train(whole, model, optimizer, made)
    model, optimizer, first = watched(name, lr)
    train(first, model, optimizer, made[:30])
    saved = through_a_file([first.state_dict(), model.state_dict(), optimizer.state_dict()])
    model, optimizer, second = watched(name, lr)
    second.load_state_dict(saved[0])
    model.load_state_dict(saved[1])
    optimizer.load_state_dict(saved[2])
    train(second, model, optimizer, made[30:])
    reports = [vitals.summary.to_dict() | {"cost": None} for vitals in (whole, second)]
    assert reports[0] == reports[1]
    assert (whole.verdict == "healthy") == (lr < 1)
    ours, theirs = (vitals._monitor._judge.window.snapshots for vitals in (second, whole))
    assert [s.step for s in ours] == [s.step for s in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.to_dict()["scalars"] == other.to_dict()["scalars"]
        # Whether gradients were emptied before the first step is not known to who was not there.
        assert set(other.tables) - set(mine.tables) <= ({"witness"} if mine.step == 30 else set())
        assert all(mine[kind] == other[kind] for kind in mine.tables)


def test_a_state_is_bounded_and_the_seconds_between_two_processes_do_not_count():
    sizes = []
    model, optimizer, vitals = watched("lstm", 0.05)
    for part in (200, 800):
        train(vitals, model, optimizer, batches("lstm", 50) * (part // 50))
        sizes.append(vitals.state_dict()["packed"].numel())
    assert sizes[1] < 1.5 * sizes[0] < 150_000
    state, seconds = vitals.state_dict(), vitals.summary.cost.run_seconds
    time.sleep(0.3)
    _, _, again = watched("lstm", 0.05)
    again.load_state_dict(state)
    assert seconds <= again.summary.cost.run_seconds < seconds + 0.2


def test_without_its_first_part_a_loop_is_told_to_be_watched_anew():
    model, optimizer, vitals = watched("lstm", 0.05)
    vitals.load_state_dict({"format": 0})
    train(vitals, model, optimizer, batches("lstm", 20))
    assert vitals.coverage.steps == 20
    assert any("it has format 0" in sentence for sentence in vitals.coverage.blind)
    assert vitals.verdict == "healthy"


def test_the_schedule_goes_on_where_it_was():
    model, optimizer, vitals = watched("lstm", 0.05)
    train(vitals, model, optimizer, batches("lstm", 17))
    _, _, again = watched("lstm", 0.05)
    again.load_state_dict(vitals.state_dict())
    assert again._monitor.step == 17
    assert again._monitor._due == Schedule().due(17)
    assert again._monitor._due is False


def test_a_plugin_that_fails_to_tell_its_state_costs_nothing_but_itself(monkeypatch):
    monkeypatch.setattr(MixingProbe, "state", lambda _: 1 / 0)
    torch.manual_seed(0)
    model = NETWORKS["lstm"]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    vitals = torchvitals.watch(model, optimizer, reporters=[])
    train(vitals, model, optimizer, batches("lstm", 4))
    again = torchvitals.watch(model, optimizer, reporters=[])
    again.load_state_dict(vitals.state_dict())
    train(again, model, optimizer, batches("lstm", 4))
    assert again.coverage.steps == 8
    assert any("mixing raised ZeroDivisionError" in sentence for sentence in vitals.coverage.blind)


def test_a_state_is_for_a_watch_that_has_seen_no_step():
    model, optimizer, vitals = watched("resnet", 0.05)
    state = vitals.state_dict()
    train(vitals, model, optimizer, batches("resnet", 2))
    with pytest.raises(FieldError, match="load_state_dict at step"):
        vitals.load_state_dict(state)


@pytest.mark.parametrize("state", [None, {}, packed({"step": 3})], ids=["none", "empty", "lacking"])
def test_a_state_that_lacks_something_is_read_not_at_all(state):
    model, optimizer, second = watched("resnet", 0.05)
    second.load_state_dict(state)
    train(second, model, optimizer, batches("resnet", 4))
    assert second.coverage.steps == 4
    assert any("their record is not read" in sentence for sentence in second.coverage.blind)
    assert not second.incidents
