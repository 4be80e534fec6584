"""TV303 tells a run that cannot move from one that has arrived, warms up or winds down."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builtin.runs import changed, only, silent, verdict
from tests.builtin.step_runs import called, louder, moved, of, together, turned
from torchvitals.builtin.update_too_small import UpdateTooSmall
from torchvitals.core.finding import Severity
from torchvitals.core.snapshot import Snapshot
from torchvitals.testing import check_diagnostic, table

TV303 = UpdateTooSmall()


def run(ratio: float | list[float] = 1e-6, looks=20, *, losses=None, **options) -> list[Snapshot]:
    losses = losses if losses is not None else [2.3] * looks
    return [moved(i, ratio, loss=float(x), **options) for i, x in enumerate(losses)]


def with_witness(snapshot: Snapshot, coefficient: float) -> Snapshot:
    rows = table("witness", ("fc1.weight",), incoming_sq=1.0, sum_sq=coefficient**2)
    return Snapshot(
        snapshot.step, snapshot.scalars, snapshot.labels, {**snapshot.tables, "witness": rows}, snapshot.due
    )


def test_it_keeps_the_rules_of_the_house():
    check_diagnostic(UpdateTooSmall, windows=[of(run())])


def test_tiny_updates_beside_a_loss_that_stays_are_a_warning_after_sixteen_looks():
    assert silent(TV303, of(run(looks=15)))
    finding = only(TV303, of(run(looks=16)))
    assert (finding.severity, finding.since) == (Severity.WARNING, 0)
    assert finding.cause == "learning rate too small"
    assert finding.remedies[0].overrides == ("optimizer.lr=10",)


@pytest.mark.parametrize(
    ("ratio", "looks", "found"),
    [(9e-6, 16, True), (5e-5, 16, False), (5e-5, 40, True), (2e-4, 60, False)],
    ids=str,
)
def test_ten_times_the_limit_takes_forty_looks(ratio, looks, found):
    assert silent(TV303, of(run(ratio, looks))) is not found


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"eps": 1e-8, "gradient": 1e-3}, "learning rate too small"),
        ({"eps": 1e-3, "gradient": 1e-5}, "eps larger than the gradients"),
        ({"eps": 1e-15, "gradient": 1e-7}, "learning rate too small"),
        ({"loss_scale": 65536.0}, "gradients divided by the loss scale"),
        ({"loss_scale": 1.0}, "learning rate too small"),
    ],
    ids=str,
)
def test_the_causes_are_told_apart(options, cause):
    assert only(TV303, of(run(**options))).cause == cause


@pytest.mark.parametrize(
    ("left", "cause"), [(1e-4, "gradient clipping"), (0.5, "learning rate too small")], ids=str
)
def test_clipping_that_leaves_little_is_the_cause(left, cause):
    assert only(TV303, of(with_witness(s, left) for s in run())).cause == cause


def slow(ratio: float | list[float] = 5e-5, looks=44, *, losses=None, known=2.3, **options) -> list[Snapshot]:
    """Adam at 3e-3 on ten classes; the weights of RMS 1 are moved by `ratio`, so that is the update too."""
    losses = np.linspace(3.0, 2.3, looks) if losses is None else losses
    given = {"lr": 3e-3, "eps": 1e-8, "momentum": 0.9, "optimizer": "Adam", **options}
    rows = run(ratio, losses=losses, **given)
    classes = [called(s.step, mean=float(s.loss or 0), prior=32 * known, classes=10.0) for s in rows]
    return [together(s, c) for s, c in zip(rows, classes, strict=True)]


def test_an_eps_that_holds_all_steps_back_is_told_of_a_net_that_learned_to_guess_alone():
    finding = only(TV303, of(slow(eps=1.0)))
    assert (finding.severity, finding.cause) == (Severity.WARNING, "eps larger than the gradients")
    assert silent(TV303, of(slow(eps=1.0, looks=39)))


def test_so_is_a_second_moment_that_does_not_forget():
    assert only(TV303, of(slow())).cause == "a second moment that remembers far larger gradients"


@pytest.mark.parametrize(
    "healthy",
    [
        pytest.param(slow(ratio=1e-3, lr=3e-1, eps=1.0), id="a rate that makes up for its eps"),
        pytest.param(slow(ratio=5e-5, lr=1e-4), id="a low rate whose steps are those of noise"),
        pytest.param(slow(losses=np.linspace(3.0, 1.8, 44), eps=1.0), id="something was learned"),
        pytest.param(slow(optimizer="Adagrad"), id="Adagrad, whose steps shrink by design"),
        pytest.param(slow(optimizer="SGD", eps=1.0), id="no divisor"),
        pytest.param(slow(ratio=[5e-5, 5e-5, 3e-3]), id="one parameter makes full steps"),
    ],
)
def test_steps_that_nothing_holds_back_and_nets_that_learn_are_silent(healthy):
    assert silent(TV303, of(healthy))


def warming(pace: float, looks=44, loss=2.3) -> list[Snapshot]:
    """A warm-up in which updates grow by `pace` a step."""
    rows = [slow(pace * (i + 1), 1, losses=[loss], lr=1e-6 * (i + 1))[0] for i in range(looks)]
    return [Snapshot(i, s.scalars, s.labels, s.tables) for i, s in enumerate(rows)]


def test_a_warm_up_in_which_updates_would_take_ten_times_as_long_to_become_usual_is_endless():
    finding = only(TV303, of(warming(1e-7)))
    assert (finding.severity, finding.where) == (Severity.WARNING, ("optimizer",))
    assert finding.cause == "warm-up far longer than the training"
    assert "it takes 977 steps" in finding.message
    assert silent(TV303, of(warming(1e-7, 39)))


def test_a_warm_up_that_gets_on_is_silent():
    assert silent(TV303, of(warming(1e-6)))
    assert silent(TV303, of(warming(1e-7, loss=0.5)))  # the net was taught before, as in fine-tuning


# -- healthy look-alikes


def test_a_warm_up_is_silent():
    assert silent(TV303, of(moved(i, 1e-7 * i, loss=2.3, lr=1e-6 * i) for i in range(40)))


def test_the_end_of_a_decay_is_silent():
    lrs = 0.5 * (1 + np.cos(np.linspace(0, np.pi, 60)))
    assert silent(TV303, of(moved(i, 1e-5 * lr, loss=2.3, lr=float(lr)) for i, lr in enumerate(lrs)))


def test_a_converged_run_is_silent():
    assert silent(TV303, of(run(losses=[2.3, 1.0, *[0.01] * 30])))


def test_a_run_whose_gradients_have_gone_is_silent():
    early = [moved(i, 5e-6, loss=1.0, gradient=1.0) for i in range(3)]
    late = [moved(3 + i, 1e-8, loss=0.7, gradient=1e-3) for i in range(30)]
    assert silent(TV303, of([*early, *late]))


def test_a_loss_that_falls_all_the_same_is_silent():
    assert silent(TV303, of(run(losses=[2.3 * 0.995**i for i in range(30)])))


def test_one_parameter_that_moves_shows_that_the_rate_is_fine():
    assert silent(TV303, of(run([1e-7, 1e-7, 1e-3])))
    names = ("fc1.weight", "head.weight", "head.bias")
    assert silent(TV303, of(run([1e-7, 1e-7, 5e-3], names=names, fan_in=[64.0, 64.0, 0.0])))


def test_fine_tuning_under_adam_is_silent():
    assert silent(TV303, of(run(3e-4, 60)))


def test_parameters_without_a_gradient_do_not_count():
    assert silent(TV303, of(run([0.0, 0.0, 1e-3], idle=[64.0, 64.0, 0.0])))
    assert silent(TV303, of(run(0.0, idle=64.0)))


def test_a_loss_whose_noise_hides_its_fall_does_not_clear_a_still_net():
    noise = np.random.default_rng(0).normal(0, 0.1, 30)
    assert not silent(TV303, of(run(losses=2.3 + noise)))


# -- laws

runs = st.tuples(st.sampled_from([1e-8, 3e-6, 3e-5, 1e-3]), st.integers(1, 50), st.booleans()).map(
    lambda t: run(t[0], t[1], losses=[2.3 * (0.98**i if t[2] else 1) for i in range(t[1])])
)


@given(runs, st.integers(-30, 30))
def test_the_verdict_does_not_change_when_the_loss_is_scaled(steps, power):
    scaled = of(louder(s, 2.0**power) for s in steps)
    assert verdict(TV303.diagnose(scaled)) == verdict(TV303.diagnose(of(steps)))


@given(runs)
def test_the_order_of_the_parameters_changes_nothing_but_ties(steps):
    one, other = TV303.diagnose(of(steps)), TV303.diagnose(of(map(turned, steps)))
    assert [(f.cause, set(f.where)) for f in one] == [(f.cause, set(f.where)) for f in other]


def test_a_step_that_overflowed_enters_no_judgement():
    steps = run(looks=20)
    bad = changed(moved(30, 1.0), "gradient", nonfinite=[1, 0, 0])
    assert not silent(TV303, of([*steps, Snapshot(30, bad.scalars, bad.labels, bad.tables)]))
