"""The adapter for plain loops: the events of `watch`, and that its mistakes and ours stay apart."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import torchvitals
from torchvitals import Diagnostic, Schedule, Severity, TrainingStopped
from torchvitals.core.errors import FieldError
from torchvitals.reporters import MemoryReporter


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


def run(model, optimizer, steps=5, **options):
    options = {"reporters": [], **options}
    with torchvitals.watch(model, optimizer, **options) as vitals:
        for _ in range(steps):
            loss = model(torch.randn(16, 4)).square().mean()
            if optimizer is not None:
                optimizer.zero_grad()
            loss.backward()
            if optimizer is not None:
                optimizer.step()
            vitals.step(loss)
    return vitals


def sgd(model, lr=0.01):
    return torch.optim.SGD(model.parameters(), lr=lr)


def test_without_an_optimizer_gradients_are_read_where_they_lie():
    keep = MemoryReporter()
    vitals = run(net(), None, reporters=[keep], strict=True)
    assert len(keep.snapshots) == 5
    assert keep.snapshots[-1]["gradient"].names == ("0.weight", "0.bias", "2.weight", "2.bias")
    assert "optimizer" not in keep.snapshots[0].labels
    assert vitals.verdict == "healthy"


def test_gradients_ready_reads_them_before_they_are_clipped():
    keep, model, norms = MemoryReporter(), net(), []
    optimizer = sgd(model)
    with torchvitals.watch(model, optimizer, reporters=[keep], strict=True) as vitals:
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.randn(16, 4)).square().mean().backward()
            vitals.gradients_ready()
            norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 1e-6)))
            optimizer.step()
            vitals.step()
    assert keep.snapshots[-1].scalars["gradient_norm"] == pytest.approx(norms[-1], rel=1e-5)
    assert keep.snapshots[-1].labels["clipped"] == "no"
    assert keep.snapshots[-1].loss is None


def test_without_it_the_snapshot_says_that_they_may_be_clipped():
    keep, model = MemoryReporter(), net()
    run(model, sgd(model), steps=1, reporters=[keep])
    assert keep.snapshots[0].labels["clipped"] == "unknown"


def test_two_optimizers_are_each_read_before_their_own_step():
    keep = MemoryReporter()
    a, b = nn.Linear(4, 4), nn.Linear(4, 1)
    model = nn.ModuleDict({"a": a, "b": b})
    first, second = sgd(a), torch.optim.Adam(b.parameters())
    with torchvitals.watch(model, [first, second], reporters=[keep], strict=True) as vitals:
        for _ in range(2):
            loss = b(a(torch.randn(8, 4))).square().mean()
            first.zero_grad()
            second.zero_grad()
            loss.backward()
            first.step()
            second.step()
            vitals.step(loss)
    snapshot = keep.snapshots[-1]
    assert sorted(snapshot["gradient"].names) == ["a.bias", "a.weight", "b.bias", "b.weight"]
    assert sorted(snapshot["update"].names) == ["a.bias", "a.weight", "b.bias", "b.weight"]
    assert snapshot.labels["optimizer"] == "SGD+Adam"


def test_a_learning_rate_schedule_accepts_the_watched_optimizer():
    model = net()
    optimizer = sgd(model)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    keep = MemoryReporter()
    with torchvitals.watch(model, optimizer, reporters=[keep], strict=True) as vitals:
        for _ in range(2):
            model(torch.randn(4, 4)).sum().backward()
            optimizer.step()
            vitals.step()
            scheduler.step()
    assert [s.scalars["lr"] for s in keep.snapshots] == pytest.approx([0.01, 0.001])


def test_stop_on_raises_after_the_step_that_reached_it():
    model = net()
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingStopped, match=r"TV203 non-finite: .*0\.weight"):
        run(model, sgd(model), stop_on=Severity.CRITICAL)


class Broken(Diagnostic):
    code, name, needs = "XX1", "broken", frozenset({"activation"})

    def diagnose(self, window):
        raise ZeroDivisionError("mine")
        yield


class BrokenReporter(MemoryReporter):
    def on_snapshot(self, snapshot):
        raise OSError("disk full")


def test_a_diagnostic_that_raises_is_switched_off_and_reported_while_the_training_goes_on():
    model = net()
    vitals = run(model, sgd(model), diagnostics=["dead-units", Broken()])
    (incident,) = vitals.incidents
    assert (incident.code, incident.severity, incident.where) == ("TV001", Severity.INFO, ("broken",))
    assert "ZeroDivisionError: mine" in incident.message
    assert vitals.verdict == "healthy"
    assert "broken raised" in str(vitals.coverage)


def test_a_reporter_that_raises_does_not_cost_the_others_their_news():
    keep, model = MemoryReporter(), net()
    vitals = run(model, sgd(model), reporters=[BrokenReporter(), keep])
    assert len(keep.snapshots) == 5
    assert [i.code for i in vitals.incidents] == ["TV001"]
    assert keep.summary.coverage == vitals.coverage


def test_strict_lets_the_mistake_through():
    model = net()
    with pytest.raises(ZeroDivisionError):
        run(model, sgd(model), diagnostics=[Broken()], strict=True)


def test_an_unfinished_forward_probe_never_reaches_the_user():
    """A module whose output cannot be measured costs its measurement, not the training."""

    class Odd(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func is torch.Tensor.detach:
                raise RuntimeError("no")
            return super().__torch_function__(func, types, args, kwargs or {})

    class Wrap(nn.Module):
        def forward(self, x):
            return x.as_subclass(Odd)

    model = nn.Sequential(nn.Linear(4, 8), Wrap(), nn.ReLU(), nn.Linear(8, 1))
    vitals = run(model, sgd(model))
    assert vitals.coverage.steps == 5


def test_no_step_is_no_data_and_never_healthy():
    with torchvitals.watch(net(), reporters=[]) as vitals:
        pass
    assert vitals.verdict == "no data"
    assert "no data" in vitals.report()


def test_a_model_without_parameters_is_refused():
    with pytest.raises(torchvitals.TorchvitalsError, match="Identity has no parameters"):
        torchvitals.watch(nn.Identity())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"diagnostics": ["dead_unit"]}, r"Unknown diagnostic 'dead_unit'.*'dead-units'", id="name"
        ),
        pytest.param({"diagnostics": "dead-units"}, r"a list, such as \['dead-units'\]", id="not-a-list"),
        pytest.param({"diagnostics": [3]}, r"diagnostics=3 is not possible", id="not-a-diagnostic"),
        pytest.param({"stop_on": "fatal"}, r"stop_on='fatal'.*INFO, WARNING, CRITICAL", id="severity"),
        pytest.param({"reporters": ["pigeon"]}, r"Unknown reporter 'pigeon'", id="reporter"),
        pytest.param({"schedule": 10}, r"schedule=10.*a torchvitals\.Schedule", id="schedule"),
        pytest.param({"optimizer": "sgd"}, r"optimizer='sgd'.*torch\.optim\.Optimizer", id="optimizer"),
        pytest.param({"optimizer": 3}, r"optimizer=3.*torch\.optim\.Optimizer", id="number-for-optimizer"),
    ],
)
def test_bad_arguments_say_field_value_and_choices(options, message):
    with pytest.raises(torchvitals.TorchvitalsError, match=message):
        torchvitals.watch(net(), **{"reporters": [], **options})


def test_a_diagnostic_that_needs_what_no_probe_measures_is_refused():
    class Needy(Broken):
        needs = frozenset({"curvature"})

    with pytest.raises(torchvitals.TorchvitalsError, match=r"needs=\['curvature'\].*activation"):
        torchvitals.watch(net(), reporters=[], diagnostics=[Needy()])


def test_a_compiled_model_is_watched_from_outside_and_that_is_said():
    model = torch.compile(net(), backend="eager")
    vitals = run(model, sgd(model), schedule=Schedule(dense=0, every=1), strict=True)
    assert vitals.coverage.measured["gradient"] == 4
    assert vitals.coverage.measured["activation"] == 1
    assert "compiled code" in str(vitals.coverage)


def test_layers_unfrozen_later_are_measured_from_then_on():
    keep, model = MemoryReporter(), net()
    model[0].requires_grad_(False)
    optimizer = sgd(model)
    with torchvitals.watch(model, optimizer, reporters=[keep], strict=True) as vitals:
        for step in range(4):
            if step == 2:
                model[0].requires_grad_(True)
            model(torch.randn(4, 4)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            vitals.step()
    assert [len(s["gradient"]) for s in keep.snapshots] == [2, 2, 4, 4]


def test_a_model_compiled_after_the_watch_is_not_compiled_again_at_every_due_step():
    compiled = []

    def backend(graph, _):
        compiled.append(graph)
        return graph.forward

    torch.compiler.reset()
    model = net()
    optimizer = sgd(model)
    fast = torch.compile(model, backend=backend)
    with torchvitals.watch(model, optimizer, reporters=[], strict=True) as vitals:
        for _ in range(12):
            loss = fast(torch.randn(16, 4)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    assert len(compiled) <= 3
    assert "compiled" in str(vitals.coverage)


def hooks(model):
    return [h for m in model.modules() for h in (*m._forward_hooks, *m._forward_pre_hooks)]


def test_parts_that_fail_leave_no_hook_and_are_each_named(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("no")

    for name in ("forward.dense", "boundary.summarise"):
        monkeypatch.setattr(f"torchvitals.probes.{name}", broken)
    model = net()
    vitals = run(model, sgd(model))
    assert hooks(model) == []
    assert "forward raised" in str(vitals.coverage)
    assert "boundary raised" in str(vitals.coverage)


def test_what_a_part_that_is_off_would_have_found_is_not_missed():
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 5))
    optimizer = torch.optim.Adam(model.parameters())
    with torchvitals.watch(model, optimizer, reporters=[]) as vitals:
        monitor = vitals._monitor
        for step in range(20):
            for name in ("gradient", "witness", "update") if step == 1 else ():
                probe = next(p for p in monitor._probes if p.name == name)
                monitor._guard.failed(RuntimeError("no"), probe, monitor._probes)
            x = torch.randn(64, 20)
            loss = F.cross_entropy(model(x), x[:, :5].argmax(1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    assert {i.code for i in vitals.incidents} == {"TV001"}


def test_lazy_layers_are_refused_with_what_to_do():
    model = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(FieldError, match="call the model once first"):
        torchvitals.watch(model, None, reporters=[])


def test_a_number_that_cannot_be_brought_home_never_reaches_the_user(monkeypatch):
    def broken(*_):
        raise TypeError("this device knows no float64")

    monkeypatch.setattr("torchvitals.monitor.Readback", broken)
    model = net()
    vitals = run(model, sgd(model))
    assert vitals.verdict == "no data"
    assert "knows no float64" in str(vitals.coverage)


def test_a_diagnostic_that_gives_no_finding_is_switched_off():
    class Chatty(Broken):
        def diagnose(self, window):  # pyright: ignore[reportIncompatibleMethodOverride]
            yield "all is well"

    model = net()
    vitals = run(model, sgd(model), diagnostics=[Chatty()])
    assert [i.code for i in vitals.incidents] == ["TV001"]
    assert "no Finding" in vitals.incidents[0].message


def test_an_optimizer_that_was_replaced_is_told_and_costs_no_memory(monkeypatch):
    monkeypatch.setattr("torchvitals.monitor.MAX_MICRO_BATCHES", 8)
    model = net()
    watched, other = sgd(model), sgd(model)
    with torchvitals.watch(model, watched, reporters=[], strict=True) as vitals:
        for _ in range(40):
            loss = model(torch.randn(16, 4)).square().mean()
            loss.backward()
            other.step()
            vitals.step(loss)
        assert len(vitals._monitor._losses) < 8
    assert "No watched optimizer stepped" in str(vitals.coverage)
    assert vitals.verdict == "no data"


def test_overflows_that_a_scaler_skips_by_design_are_no_alarm():
    torch.manual_seed(0)
    model = net()
    optimizer, scaler = sgd(model), torch.amp.GradScaler("cpu", init_scale=2.0**24)
    with torchvitals.watch(model, optimizer, reporters=[], strict=True) as vitals:
        for _ in range(24):
            with torch.autocast("cpu", torch.float16):
                loss = (model(torch.randn(16, 4)) - 1).square().mean()
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            vitals.step(loss)
    assert vitals.coverage.steps < 24
    assert [i.severity for i in vitals.incidents if i.code == "TV203"] == [Severity.INFO]
    assert vitals.verdict == "healthy"


def test_a_run_without_any_gradient_is_no_data():
    model = net().requires_grad_(False)
    with torchvitals.watch(model, reporters=[], strict=True) as vitals:
        for _ in range(5):
            model(torch.randn(4, 4))
            vitals.step(1.0)
    assert vitals.verdict == "no data"
    assert "No parameter had a gradient" in str(vitals.coverage)


def test_a_run_whose_only_diagnostic_failed_is_no_data():
    model = net()
    vitals = run(model, sgd(model), diagnostics=[Broken()])
    assert vitals.verdict == "no data"
    assert vitals.coverage.judged == ()


def test_a_part_that_failed_stays_reported_to_the_end():
    model = net()
    vitals = run(model, sgd(model), steps=30, diagnostics=["dead-units", Broken()])
    (incident,) = [i for i in vitals.incidents if i.code == "TV001"]
    assert (incident.name, incident.resolved) == ("part-failed", None)


def test_what_was_not_given_is_said_not_to_be_seen():
    assert "updates were not measured" in str(run(net(), None).coverage)
    assert "holds no parameter of the model" in str(run(net(), sgd(net())).coverage)
