"""Other tools' rules; without these tests a tool would be blamed for what we made of it."""

import copy
import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.scorecard import trial
from sweeps.scorecard.outcome import Outcome, Watching
from sweeps.scorecard.peers import PACKAGES, PEERS, REWRITTEN
from sweeps.scorecard.peers.readings import readings
from sweeps.scorecard.trial import Case, _opening, try_case
from sweeps.situations.networks import mlp
from sweeps.situations.situation import Level
from sweeps.situations.training import Training, plain, run

NAMED = {judge.name: judge for judge in (*REWRITTEN, *PACKAGES.values())}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def made(
    model: nn.Module,
    *,
    steps: int = 80,
    lr: float = 0.01,
    scale: float = 1.0,
    loss: Callable[[nn.Module, Any], Tensor] | None = None,
    targets: Callable[[Tensor], Tensor] = lambda x: (x[:, 0] > 0).long(),
) -> Training:
    """Inputs of -1 to 1, of which the sign of the first tells the class."""

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x = torch.rand(64, 8, generator=torch.Generator().manual_seed(step)) * 2 - 1
        return x * scale, targets(x)

    return Training(
        model=model,
        optimizers=(torch.optim.Adam(model.parameters(), lr=lr),),
        batch=batch,
        loss=loss or (lambda net, pair: F.cross_entropy(net(pair[0]), pair[1])),
        score=lambda _model: 0.0,
        steps=steps,
    )


def net(*sizes: int, act: Callable[[], nn.Module] = nn.ReLU, bias: float | None = None) -> nn.Sequential:
    """He-initialised; `bias` is that of all hidden units, if any is given."""
    torch.manual_seed(0)
    model = mlp((8, *(sizes or (16, 16)), 2), act=act)
    nn.init.zeros_(model.head.bias)  # type: ignore[arg-type]
    if bias is not None:
        for i in range(len(sizes or (16, 16))):
            nn.init.constant_(model.get_parameter(f"hidden.{i}.linear.bias"), bias)
    return model


def telling(losses: Sequence[float]) -> Training:
    """A training that does nothing but tell these losses."""
    training = made(net(), steps=len(losses))
    return replace(training, iterate=lambda _training, step, _eyes: losses[step])


def outcome(judge: str, training: Training) -> Outcome:
    eyes: list[Watching] = []
    run(training, [_opening(NAMED[judge], eyes)])
    return eyes[0].outcome()


def said(judge: str, training: Training) -> list[str]:
    found = outcome(judge, training)
    assert not found.error
    return [alert.rule for alert in found.alerts]


SILENT = ("AutoTrainer", "DeepLocalize", "DeepDiagnosis", "UMLAUT", "NaN only", "gradient-norm z-score")


@pytest.mark.parametrize("judge", SILENT)
def test_a_clean_regression_is_clean(judge):
    clean = made(net(), loss=lambda m, pair: F.mse_loss(m(pair[0]), pair[1]), targets=lambda x: x[:, :2])
    assert said(judge, clean) == []


@pytest.mark.parametrize("judge", sorted({*SILENT} - {"DeepLocalize"}))
def test_a_clean_classification_is_clean(judge):
    """But to DeepLocalize: a softmax leaves the mean of the last weight, which it looks at, as it is."""
    hard = made(net(), lr=3e-3, targets=lambda x: (x[:, 0] + 2 * x[:, 1] * x[:, 2] > 0).long())
    assert said(judge, hard) == []


def tiny(model: nn.Module, pair: Any) -> Tensor:
    return F.cross_entropy(model(pair[0]), pair[1]) * 1e-9


def nan_from(step: int) -> Training:
    training = made(net(), steps=40)
    batch = training.batch
    return replace(training, batch=lambda i: (batch(i)[0] * (math.nan if i >= step else 1), batch(i)[1]))


def constant() -> nn.Module:
    model = net()
    for p in model.parameters():
        nn.init.zeros_(p)
    return model


def untaught() -> Training:
    training = made(net(), lr=0.0)
    return replace(training, batch=lambda _step: made(net()).batch(0))


def flat() -> Training:
    """It trains, and tells the same loss each time."""

    def iterate(training: Training, step: int, eyes: Any) -> float:
        plain(training, step, eyes)
        return 1.0

    return replace(made(net()), iterate=iterate)


def stuck() -> Training:
    """Its optimizer has other parameters."""
    return replace(made(net(), steps=101), optimizers=made(net()).optimizers)


CASES: tuple[tuple[str, str, Callable[[], Training], str], ...] = (
    ("AutoTrainer", "dying relu", lambda: made(net(bias=-10.0)), "hidden.0.linear.weight"),
    ("AutoTrainer", "vanish", lambda: made(net(*[8] * 9, act=nn.Sigmoid), lr=1e-4), "hidden.0.linear.weight"),
    ("AutoTrainer", "not converge", untaught, ""),
    ("AutoTrainer", "explode", lambda: nan_from(5), "hidden.0.linear.weight"),
    ("DeepLocalize", "error in forward", lambda: nan_from(5), "hidden.0.linear"),
    ("DeepLocalize", "error in forward", lambda: made(net(bias=-10.0)), "hidden.0.act"),
    ("DeepLocalize", "error in weights", stuck, "head.weight"),
    ("DeepLocalize", "model does not learn", flat, ""),
    ("DeepDiagnosis", "numerical error", lambda: nan_from(5), "hidden.0.linear"),
    ("DeepDiagnosis", "unchanged weight", stuck, "head.weight"),
    ("DeepDiagnosis", "vanishing gradient", lambda: made(net(), loss=tiny), "head.weight"),
    ("DeepDiagnosis", "loss not decreasing", lambda: telling([1.0] * 100), ""),
    ("UMLAUT", "input not normalised", lambda: made(net(), scale=5.0), ""),
    ("UMLAUT", "high learning rate", lambda: made(net(), lr=0.02), ""),
    ("UMLAUT", "low learning rate", lambda: made(net(), lr=1e-8), ""),
    ("UMLAUT", "NaN in loss", lambda: nan_from(5), ""),
    ("UMLAUT", "missing activation functions", lambda: made(net(act=nn.Identity)), "hidden.0.linear"),
    ("UMLAUT", "high dropout rate", lambda: made(net(act=lambda: nn.Dropout(0.5))), "hidden.0.act"),
    ("TheDeepChecker", "initial weights", lambda: made(constant()), "hidden.0.linear.weight"),
    ("TheDeepChecker", "features", lambda: made(net(), scale=100.0), ""),
    ("TheDeepChecker", "dead activations", lambda: made(net(bias=-10.0)), "hidden.0.act"),
    ("TheDeepChecker", "saturated activations", lambda: made(net(act=nn.Tanh, bias=6.0)), "hidden.0.act"),
    ("TheDeepChecker", "vanishing gradient", lambda: made(net(), loss=tiny), "hidden.0.linear.weight"),
    ("TheDeepChecker", "untrained weights", stuck, "hidden.0.linear.weight"),
    ("TheDeepChecker", "fast weights", lambda: made(net(), lr=3.0), "hidden.0.linear.weight"),
    ("TheDeepChecker", "stagnated loss", lambda: telling([1.0] * 60), ""),
    ("TheDeepChecker", "numerical instability", lambda: nan_from(5), "hidden.0.linear"),
    ("SageMaker Debugger", "VanishingGradient", lambda: made(net(), loss=tiny), "hidden.0.linear.weight"),
    ("SageMaker Debugger", "ExplodingTensor", lambda: nan_from(5), "hidden.0.linear"),
    ("SageMaker Debugger", "DeadRelu", lambda: made(net(bias=-10.0)), "hidden.0.act"),
    ("SageMaker Debugger", "SaturatedActivation", lambda: made(net(act=nn.Tanh, bias=20.0)), "hidden.0.act"),
    ("SageMaker Debugger", "UnchangedTensor", stuck, "hidden.0.linear.weight"),
    ("SageMaker Debugger", "LossNotDecreasing", lambda: telling([1.0] * 11), ""),
    ("SageMaker Debugger", "AllZero", lambda: made(constant()), "hidden.0.linear.weight"),
    ("NaN only", "loss is NaN", lambda: nan_from(5), ""),
    ("loss not decreasing", "loss not decreasing", lambda: telling([1.0] * 50), ""),
)


@pytest.mark.parametrize(("judge", "rule", "training", "where"), CASES)
def test_a_rule_speaks_where_it_is_meant_to(judge, rule, training, where):
    found = outcome(judge, training())
    assert not found.error
    (alert,) = [alert for alert in found.alerts if alert.rule == rule]
    assert alert.where[:1] == ((where,) if where else ())
    assert alert.codes


@pytest.mark.parametrize(("judge", "rule"), [
    ("TheDeepChecker", "vanishing gradient"),
    ("TheDeepChecker", "untrained weights"),
    ("TheDeepChecker", "dead activations"),
    ("TheDeepChecker", "features"),
    ("TheDeepChecker", "initial biases"),
    ("SageMaker Debugger", "VanishingGradient"),
    ("SageMaker Debugger", "DeadRelu"),
    ("SageMaker Debugger", "UnchangedTensor"),
    ("SageMaker Debugger", "ExplodingTensor"),
])  # fmt: skip
def test_a_rule_is_silent_on_a_clean_training(judge, rule):
    assert rule not in said(judge, made(net()))


def test_targets_beyond_the_last_activation_are_out_of_range():
    def training(height: float) -> Training:
        model = nn.Sequential(nn.Linear(8, 1), nn.Sigmoid())
        return made(model, steps=20, loss=lambda m, pair: F.mse_loss(m(pair[0]), pair[1]),
                    targets=lambda x: (x[:, :1] + 1) / 2 * height)  # fmt: skip

    assert said("DeepDiagnosis", training(300.0)) == ["out of range"]
    assert "out of range" not in said("DeepDiagnosis", training(0.9))


@pytest.mark.parametrize(("losses", "spike"), [
    ([1.0] * 5 + [3.0], True),  # twice the mean of 1 above it
    ([1.0] * 5 + [2.9], False),
    ([10.0, 9.0, 1.0], False),  # better
    ([1.0, math.inf], True),
    ([math.nan, 1.0], False),  # the first is not looked at
    ([9.0, *[0.5] * 10, 1.6], True),  # the 9 has left the window: a mean of 0.5, and 1.1 above it
])  # fmt: skip
def test_a_spike_is_three_times_the_running_mean(losses, spike):
    assert said("Lightning SpikeDetection", telling(losses)) == ["training spike"] * spike


def test_a_gradient_norm_far_above_its_history_is_told():
    training = made(net(), steps=40)

    def jumping(training: Training, step: int, eyes: Any) -> Tensor:
        factor = 1e4 if step == 31 else 1.0
        return plain(replace(training, loss=lambda m, pair: factor * training.loss(m, pair)), step, eyes)

    found = outcome("gradient-norm z-score", replace(training, iterate=jumping))
    assert [(a.rule, a.step) for a in found.alerts] == [("gradient norm", 31)]


def test_a_validation_loss_above_the_training_loss_is_overfitting():
    def validated(*values: float) -> Training:
        told = iter(values)
        return replace(telling([1.0] * 20), validate=lambda _model: next(told), validate_every=10)

    assert "Overfit" in said("SageMaker Debugger", validated(1.2, 1.2))
    assert "Overfit" not in said("SageMaker Debugger", validated(1.05, 1.05))
    assert "possible overfitting" in said("UMLAUT", validated(1.0, 1.1))
    assert "possible overfitting" not in said("UMLAUT", validated(1.0, 0.9))


def test_a_tool_that_ends_the_training_says_one_thing():
    assert len(outcome("AutoTrainer", made(net(bias=-10.0), steps=200)).alerts) == 1
    assert len(outcome("DeepLocalize", nan_from(2)).alerts) == 1


PUBLISHED = {
    "autotrainer": {"VANISH_RATIO": 1e-3, "VANISH_NORM": 1e-4, "EXPLODE_RATIO": 70, "ZERO_SHARE": 0.7,
                    "SWING": 0.03, "SWING_SHARE": 0.2, "GAIN": 0.01, "GOOD": 0.6},
    "deeplocalize": {"PERIOD": 5, "ZERO_SHARE": 0.5},
    "deepdiagnosis": {"PERIOD": 5, "ACCURACY_PERIOD": 20, "DEAD_SHARE": 0.7, "BEYOND": 5, "VANISHED": 1e-7,
                      "SATURATED_SHARE": 0.5, "VARIANCES": (1e-5, 10), "RATES": (1e-5, 1e-1)},
    "umlaut": {"BOUNDS": (-1, 1), "RATE_BOUNDS": (1e-7, 1e-2), "DROPOUT": 0.5},
    "deepchecker": {"UPDATES": (-4, -1), "DECREASE": 0.05, "SMOOTH": 0.5, "NEGATIVE_SHARE": 0.95,
                    "PERIOD": 10},
    "units": {"DEAD_OUTPUT": 1e-5, "DEAD_PERCENTILE": 0.95, "RHO": 0.85, "LAYER_SHARE": 0.5,
              "SPREADS": (0.5, 2)},
    "beginnings": {"BALANCE": 0.5, "LOSS_RATIO": 1.0},
    "sagemaker": {"VANISHED": 1e-7, "INACTIVE": 0.01, "LAYER_SHARE": 0.5, "VARIANCE_RATIO": 10,
                  "DISTRIBUTION": 1e-3, "PATIENCE": 5, "LARGE_UPDATE": 10, "SMALL_UPDATE": 1e-8,
                  "NOT_DECREASING": 10, "UNCHANGED": 3, "OVERFIT": 0.1, "IMBALANCE": 10, "LABELS": 500,
                  "IMAGE_MEAN": 0.2, "FIRST": 10, "EPSILON": 1e-9},
    "spikes": {"WINDOW": 10, "WARM_UP": 1, "RELATIVE": 2},
    "trivial": {"DEVIATIONS": 6},
}  # fmt: skip


@pytest.mark.parametrize("tool", PUBLISHED)
def test_thresholds_are_the_published_ones(tool):
    module = importlib.import_module(f"sweeps.scorecard.peers.{tool}")
    assert {name: getattr(module, name) for name in PUBLISHED[tool]} == PUBLISHED[tool]


def test_watching_changes_nothing_and_leaves_nothing_behind():
    alone = run(made(net()))
    training = made(net())
    together = run(training, [_opening(judge, []) for judge in REWRITTEN])
    assert together == alone
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in training.model.modules())
    assert not any(p._post_accumulate_grad_hooks for p in training.model.parameters())


def test_only_training_passes_of_the_model_itself_are_read():
    training = made(net())
    x, _ = training.batch(0)
    with readings(training) as shared, readings(training) as same:
        assert shared is same
        with torch.no_grad():
            training.model(x)
        copy.deepcopy(training.model)(x)
        assert shared.look(0, 1.0).layers == ()
        training.model(x)
        assert [a.path for a in shared.look(1, 1.0).layers][:2] == ["hidden.0.linear", "hidden.0.act"]


def test_gradients_are_read_even_if_the_loop_takes_them_away():
    def cleaning(training: Training, step: int, _eyes: Any) -> Tensor:
        loss = training.loss(training.model, training.batch(step))
        loss.backward()
        training.optimizer.step()
        training.optimizer.zero_grad()
        return loss

    assert said("AutoTrainer", replace(made(net(bias=-10.0)), iterate=cleaning)) == ["dying relu"]


def test_inputs_of_rectifiers_that_work_in_place_are_those_from_before():
    training = made(net(act=lambda: nn.ReLU(inplace=True)))
    with readings(training) as shared:
        training.model(training.batch(0)[0])
        act = next(a for a in shared.look(0, 1.0).layers if a.path == "hidden.0.act")
    assert act.input is not None
    assert act.input.min() < 0 <= act.output.min()


@pytest.mark.parametrize("name", ["zero-init-relu", "plain-cnn", "plain-lstm", "plain-gpt"])
def test_every_judge_gets_through_real_situations(name, monkeypatch):
    monkeypatch.setattr(trial, "run", lambda training, watches=(): run(replace(training, steps=25), watches))
    level = Level.BLATANT if name == "zero-init-relu" else None
    rows = [row for row in try_case(Case(name, level, 0), PEERS) if "torchvitals" not in row["judge"]]
    assert [row["judge"] for row in rows] == [judge.name for judge in PEERS]
    assert [row["error"] for row in rows] == [""] * len(rows)


def test_the_package_torchmortem_is_heard_and_blamed_for_what_it_breaks():
    pytest.importorskip("torchmortem")
    found = outcome("torchmortem*", made(net(bias=-10.0)))
    assert "Dead units" in [alert.rule for alert in found.alerts]
    assert found.root is not None
    assert found.root.codes
    assert found.root.step == 79
    assert "BackwardHook" in outcome("torchmortem*", made(net(act=lambda: nn.ReLU(inplace=True)))).error


def test_the_package_torch_audit_is_heard():
    pytest.importorskip("torch_audit")
    found = outcome("torch-audit*", made(net(), scale=100.0, steps=5))
    assert found.root is not None
    assert (found.root.rule, found.root.step) == ("TA301", 0)
    assert "TV502" in found.root.codes
    assert "TA301" not in said("torch-audit*", made(net(), steps=5))


def test_what_a_training_breaks_by_itself_is_not_the_packages_fault():
    pytest.importorskip("torchmortem")

    def failing(_training: Training, _step: int, _eyes: Any) -> Tensor:
        raise RuntimeError("shapes do not fit")

    for judge in ("torchmortem*", "torch-audit*"):
        assert outcome(judge, replace(made(net()), iterate=failing)).error == ""
