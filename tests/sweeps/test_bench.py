"""The benchmark's arithmetic against oracles; without it a wrong overhead would be published as truth."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sweeps.bench import __main__ as bench
from sweeps.bench import ours
from sweeps.bench.contest import compared
from sweeps.bench.counter import Counter, Traffic
from sweeps.bench.figures import excess, line, line_of_medians, median_interval, overhead, pooled
from sweeps.bench.growth import fitted
from sweeps.bench.memory import growth
from sweeps.bench.nets import NETS
from sweeps.bench.pages import page
from sweeps.bench.targets import flat, targets
from sweeps.bench.timing import BARE, FIRST, Watcher, race
from sweeps.bench.tools import TOOLS, Tool
from sweeps.bench.training import Batch, Eye, Training
from torchvitals import Schedule


def costs(**seconds: list[float]) -> dict[str, np.ndarray]:
    return {kind: np.array(values) for kind, values in seconds.items()}


def test_overhead_weighs_steps_by_how_often_they_come_and_adds_what_is_paid_once():
    """(0.5 + 62 x 0.01 + 936 x 0.001) s over 1,000 steps of 0.1 s."""
    found = overhead(
        costs(look=[0.01] * 5, quiet=[0.001] * 9), {"look": 62, "quiet": 936}, 0.5, [0.1] * 7, 1000
    )
    assert found is not None
    assert found["share"] == pytest.approx(2.056 / 100)
    assert found["interval"] == pytest.approx([2.056 / 100] * 2)


def test_one_step_that_was_held_up_changes_no_overhead():
    held_up = costs(quiet=[0.001] * 20 + [5.0])
    found = overhead(held_up, {"quiet": 1000}, 0.0, [0.1] * 20 + [7.0], 1000)
    assert found is not None
    assert found["share"] == pytest.approx(0.01)


def test_a_kind_of_step_that_comes_but_was_never_measured_leaves_the_overhead_unknown():
    assert overhead(costs(quiet=[0.1]), {"look": 3, "quiet": 5}, 0.0, [0.1], 8) is None
    assert overhead(costs(quiet=[0.1]), {"look": 0, "quiet": 8}, 0.0, [0.1], 8) is not None


def test_the_interval_of_a_median_is_that_of_its_order_statistics():
    """Of 99 numbers the ranks 40 and 60 enclose the median at 95 %, by the binomial distribution."""
    low, high = median_interval(np.random.default_rng(1).permutation(99) + 1.0)  # pyright: ignore[reportArgumentType]
    assert (low, high) == (pytest.approx(40, abs=2), pytest.approx(60, abs=2))


def test_costs_are_differences_within_a_round_and_those_of_one_who_dropped_out_end_early():
    found = excess([1.5, 2.25, 3.5], [1.0, 2.0, 3.0, 4.0], ["first", "quiet", "look"])
    assert {kind: values.tolist() for kind, values in found.items()} == {
        "first": [0.5],
        "quiet": [0.25],
        "look": [0.5],
    }


def test_steps_of_one_kind_are_told_together():
    found = pooled([costs(quiet=[1.0], look=[5.0]), costs(quiet=[2.0, 3.0])])
    assert {kind: values.tolist() for kind, values in found.items()} == {"quiet": [1, 2, 3], "look": [5]}


def test_a_line_through_points_on_a_line_is_that_line():
    found = line([0, 1, 2, 5], [3.0, 5.0, 7.0, 13.0])
    assert (found["slope"], found["intercept"]) == (pytest.approx(2), pytest.approx(3))
    assert found["interval"] == pytest.approx([2, 2])


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_law_is_found_in_spite_of_noise(power: float):
    numbers = np.random.default_rng(0)
    sizes = [100, 300, 1000, 3000]
    samples = [2e-6 * n**power * numbers.lognormal(0, 0.1, 50) for n in sizes]
    found = line_of_medians(sizes, samples, logarithms=True)
    assert found is not None
    assert found["slope"] == pytest.approx(power, abs=0.05)
    assert found["interval"][0] < power < found["interval"][1]


def test_growth_is_told_in_microseconds_per_tensor():
    found = fitted({100: np.full(5, 1e-3), 200: np.full(5, 1.5e-3)})
    assert found is not None
    assert found["microseconds"]["slope"] == pytest.approx(5)
    assert fitted({100: np.full(5, 1e-3)}) is None


def test_what_costs_nothing_has_no_exponent():
    found = fitted({100: np.zeros(5), 200: np.full(5, 1.0)})
    assert found is not None
    assert found["exponent"] is None


def test_memory_growth_leaves_out_the_warm_up():
    steps = list(range(100, 2001, 100))
    held = [1_000_000 if step <= 500 else 5_000_000 + 3 * step for step in steps]
    assert growth(steps, held)["growth"] == pytest.approx(3000)


def test_memory_is_flat_where_growth_is_small_or_no_surer_than_that_of_the_bare_run():
    bare = {"growth": 0.0, "interval": [-5.0, 5.0]}
    assert flat({"growth": 900.0, "interval": [800.0, 1000.0]}, bare, 1024)
    assert flat({"growth": 9000.0, "interval": [-100.0, 18000.0]}, bare, 1024)
    assert not flat({"growth": 9000.0, "interval": [8000.0, 10000.0]}, bare, 1024)


def test_the_default_schedule_looks_at_64_of_1000_steps():
    """16 dense ones, then 8 in each doubling up to 1,024, the last of which is cut short by none."""
    assert ours.counts(Schedule()) == {"look": 64, "quiet": 936}
    assert ours.counts(Schedule(), first=FIRST) == {"look": 62, "quiet": 936}
    assert ours.counts(ours.NEVER) == {"look": 1, "quiet": 999}


# -- taking turns


def small() -> Training:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return Training(model=model, optimizer=optimizer, loss=lambda net, b: (net(b[0]) - b[1]).square().mean())


def batch_of(step: int) -> Batch:
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
    return x, x.sum(1, keepdim=True)


class Sleeper(Eye):
    def step(self, loss: Tensor) -> None:
        time.sleep(0.05)


class Failing(Eye):
    def __init__(self) -> None:
        self.steps = 0

    def step(self, loss: Tensor) -> None:
        self.steps += 1
        if self.steps == 3:
            raise ZeroDivisionError("as agreed")


def seen_by(eye: Callable[[], Eye], name: str = "it") -> Watcher:
    @contextmanager
    def opened(_training: Training) -> Iterator[Eye]:
        yield eye()

    return Watcher(name=name, open=opened)


def test_a_watcher_that_sleeps_costs_what_it_sleeps():
    lanes = race(small, batch_of, [seen_by(Sleeper)], 10)
    found = excess(lanes["it"].seconds, lanes[BARE].seconds, lanes["it"].kinds())
    assert 0.045 < np.median(found["look"]) < 0.2  # a busy machine wakes it late
    assert (len(found["first"]), len(found["look"])) == (FIRST, 10 - FIRST)


def test_who_raises_drops_out_and_the_others_go_on():
    lanes = race(small, batch_of, [seen_by(Failing), seen_by(Eye, "other")], 6)
    assert lanes["it"].error == "ZeroDivisionError: as agreed"
    assert [len(lane.seconds) for lane in lanes.values()] == [6, 2, 6]


def test_who_cannot_be_opened_is_a_result_too():
    @contextmanager
    def opened(_training: Training) -> Iterator[Eye]:
        raise ImportError("not there")
        yield Eye()

    lanes = race(small, batch_of, [Watcher(name="it", open=opened)], 3)
    assert (lanes["it"].error, lanes["it"].seconds) == ("ImportError: not there", [])


def test_our_steps_are_told_apart_by_the_schedule_and_weights_stay_equal():
    schedule = Schedule(dense=2, every=2)
    lanes = race(small, batch_of, [ours.watcher("ours", schedule)], 9)
    told = ["look" if schedule.due(i) else "quiet" for i in range(FIRST, 9)]
    assert lanes["ours"].kinds() == ["first"] * FIRST + told
    assert lanes["ours"].training.same_weights(lanes[BARE].training)


def test_unequal_weights_are_seen():
    one, other = small(), small()
    with torch.no_grad():
        next(other.model.parameters())[0, 0] += 1e-7
    assert not one.same_weights(other)


def test_steps_that_an_alarm_asked_for_are_no_looks_of_the_schedule():
    eye = ours.Ours(None, ours.Looks(), Schedule(dense=1, every=8))  # type: ignore[arg-type]
    eye.looks.due.update({0: True, 1: True, 2: False, 8: True})
    assert [eye.kind(step) for step in (0, 1, 2, 8)] == ["look", "armed", "quiet", "look"]


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_two_trainings_of_a_net_start_equal_and_the_gpt_is_no_toy(net):
    one, other = net.training(), net.training()
    assert one.same_weights(other)
    x, y = net.batch_of(3)
    again = net.batch_of(3)
    assert torch.equal(x, again[0])
    assert torch.equal(y, again[1])
    assert net.name != "GPT" or one.parameters >= 10_000_000


# -- what the dispatcher sees


def counted(work: Callable[[], Any]) -> Counter:
    with Counter() as counter:
        work()
    return counter


def test_bytes_are_those_of_the_tensors_that_are_read():
    x, y = torch.ones(1000), torch.ones(1000, dtype=torch.float64)
    assert counted(x.sum).read == 4000
    assert counted(lambda: torch.add(y, y)).read == 16000
    assert counted(lambda: torch.add(y, y)).written == 8000
    assert counted(lambda: torch._foreach_norm([x, x])).read == 8000  # pyright: ignore[reportPrivateImportUsage]
    assert counted(lambda: x.view(10, 100).t().detach()[3:]).read == 0


def test_reads_that_wait_are_counted_and_others_are_not():
    x = torch.arange(4.0)
    assert counted(lambda: float(x.sum())).waits == 1
    assert counted(lambda: bool((x > 1).any())).waits == 1
    assert counted(lambda: x[x > 1]).waits == 1
    assert counted(x.nonzero).waits == 1
    assert counted(lambda: (x + 1, x[1:], x[torch.tensor([0, 2])], x.sum())).waits == 0


def test_what_the_bare_step_does_is_taken_off():
    bare = Traffic(read=[10, 10, 10], written=[5, 5, 5], waits=[1, 1, 1], calls=[7, 7, 7])
    mine = Traffic(read=[30, 31, 90], written=[5, 5, 5], waits=[1, 1, 1], calls=[9, 9, 9])
    assert mine.less(bare) == {"read": 21.0, "written": 0.0, "waits": 0.0, "calls": 2.0}


# -- targets and the page


def net(name: str, *, big: bool, defaults: float | None, always: float) -> dict[str, Any]:
    def setting(name: str, share: float | None) -> dict[str, Any]:
        estimate = None if share is None else {"share": share, "interval": [share, share]}
        once = {"median": 0.1, "each": [0.1]}
        return {
            "name": name,
            "error": "",
            "once": once,
            "kinds": {},
            "counts": {},
            "estimate": estimate,
            "really": None,
            "same_weights": True,
        }

    bare = {"median": 0.1, "quartiles": [0.1, 0.1], "n": 9}
    settings = [setting(ours.NAME, defaults), setting(ours.ALWAYS_ON, always)]
    return {
        "net": name,
        "words": "small",
        "big": big,
        "device": "cpu",
        "parameters": 12_345,
        "tensors": 3,
        "rounds": 9,
        "bare": bare,
        "settings": settings,
    }


def judged(*nets: dict[str, Any]) -> dict[str, bool | None]:
    return {t["what"]: t["met"] for t in targets({"overhead": {"nets": nets}})}


def test_large_nets_have_the_narrower_target():
    found = judged(
        net("A", big=True, defaults=0.03, always=0.01), net("B", big=False, defaults=0.03, always=0.011)
    )
    assert list(found.values()) == [False, True, True, False]


def test_what_was_not_measured_is_neither_met_nor_missed():
    assert list(judged(net("A", big=True, defaults=None, always=0.0)).values()) == [None, True]


def tool(name: str, against: str = "look", **given: Any) -> dict[str, Any]:
    kinds = {"look": {"median": 0.004, "quartiles": [0.0, 0.0], "n": 3}}
    usual = {"name": name, "against": against, "error": "", "kinds": kinds, "default": None, "equal": None}
    return {**usual, **given}


def test_a_peer_is_compared_with_the_part_that_sees_about_as_much():
    mine = {"look": {"median": 0.005}, "quiet": {"median": 0.001}}
    assert compared(tool("a"), mine)["cheaper"] is False
    assert compared(tool("b", "quiet"), mine)["cheaper"] is True
    assert compared(tool("c", error="RuntimeError: it broke"), mine)["cheaper"] is None
    assert "cheaper" not in compared(tool(ours.NAME), mine)


def test_a_wait_in_a_step_that_is_not_due_misses_the_target():
    nets = [{"net": "A", "kinds": {"quiet": {"waits": waits}}} for waits in (0.0, 1.0)]
    assert [t["met"] for t in targets({"bytes": {"nets": nets}})] == [True, False]


def card(**sections: Any) -> dict[str, Any]:
    machine = {"date": "2026-01-02", "cores": 2, "threads": 2, "cpu": "a processor", "device": "cpu"}
    versions = {"python": "3.11", "torch": "2", "torchvitals": "0", "peers": {}}
    told = {name: {"date": "2026-01-02", "seconds": 1.0, **found} for name, found in sections.items()}
    return {"quick": False, "machine": {**machine, **versions}, "sections": told}


def test_the_page_says_first_what_it_costs_and_what_was_missed():
    nets = [net("A", big=True, defaults=0.03, always=0.001), net("B", big=False, defaults=0.04, always=0.004)]
    text = page(card(overhead={"steps": 1000, "nets": nets}))
    assert "costs 3.0 % on the A, 4.0 % on the B, over a run of 1,000 steps." in text
    assert "costs between 0.1 % and 0.4 %." in text
    assert "Of 4 targets 1 was missed." in text
    assert "| A, defaults: overhead over 1,000 steps | <= 2 % | 3.0 % | missed |" in text
    assert "missed: 1 of 4." in text


def test_the_page_says_what_was_not_measured():
    text = page(card())
    assert text.count("Not measured.") >= 7
    assert "the machine had no GPU" in text


def test_a_peer_that_is_not_there_is_named_and_gets_no_figures():
    absent = Tool(name="x", module="no_such_module", measures="", against="look", counts={}, watchers=())
    assert not absent.installed
    section = {"missing": ["x"], "tools": [], "nets": []}
    assert "Not installed, so not measured: x." in page(card(peers=section))


def test_every_look_of_a_tool_over_1000_steps_is_counted():
    assert all(sum(t.counts.values()) == ours.STEPS for t in TOOLS)


def test_a_section_that_does_not_exist_is_refused_with_those_that_do(capsys):
    with pytest.raises(SystemExit) as ended:
        bench.main(["memroy"])
    assert ended.value.code == 2
    assert "memory" in capsys.readouterr().err


def test_a_section_alone_keeps_what_was_measured_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("growth", "imports"):
        monkeypatch.setitem(bench.SECTIONS, name, lambda **_: {"nothing": 1})  # type: ignore[arg-type]
    monkeypatch.setattr(bench, "page", lambda _card: "")
    bench.main(["--quick", "imports"])
    bench.main(["--quick", "growth"])
    kept = json.loads((tmp_path / "runs/bench/quick/bench.json").read_text())
    assert list(kept["sections"]) == ["growth", "imports"]


@pytest.mark.slow
@pytest.mark.timeout(900)  # under 90 s where nothing else runs
def test_a_quick_run_measures_everything_and_overwrites_nothing_that_is_published(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bench.main(["--quick"]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]
    folder = tmp_path / "runs/bench/quick"
    found = json.loads((folder / "bench.json").read_text())
    assert list(found["sections"]) == list(bench.SECTIONS)
    (mlp,) = found["sections"]["overhead"]["nets"]
    assert all(s["same_weights"] and not s["error"] and s["estimate"] for s in mlp["settings"])
    assert [t["error"] for t in found["sections"]["peers"]["nets"][0]["tools"]][:1] == [""]
    (counts,) = found["sections"]["bytes"]["nets"]
    assert counts["kinds"]["look"]["read"] > sum(counts["least"].values())
    text = (folder / "docs/performance.md").read_text()
    assert "Not measured." not in text
    assert "{" not in text
