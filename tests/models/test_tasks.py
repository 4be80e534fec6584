"""Tasks: losses against plain formulae, metrics that survive nan, targets that do not fit."""

import math

import pytest
import torch
from torch import Tensor

from models.tasks import IGNORED, TASKS, Task, task_named

OUTPUTS = {"binary": 1, "multiclass": 4, "multilabel": 4, "regression": 2}


def _example(name: str, *, count: int = 32) -> tuple[Task, Tensor, Tensor]:
    noise = torch.Generator().manual_seed(0)
    outputs = 3 * torch.randn(count, OUTPUTS[name], generator=noise)
    targets = {
        "binary": torch.randint(0, 2, (count,), generator=noise),
        "multiclass": torch.randint(0, 4, (count,), generator=noise),
        "multilabel": torch.randint(0, 2, (count, 4), generator=noise).float(),
        "regression": torch.randn(count, 2, generator=noise),
    }
    return task_named(name, out_features=OUTPUTS[name]), outputs, targets[name]


def _oracle_loss(name: str, outputs: Tensor, targets: Tensor) -> Tensor:
    if name == "regression":
        return ((outputs - targets) ** 2).mean()
    if name == "multiclass":
        return (
            -(outputs.exp() / outputs.exp().sum(1, keepdim=True)).log()[range(len(targets)), targets].mean()
        )
    share = (1 / (1 + (-outputs).exp())).reshape(targets.shape)
    return -(targets * share.log() + (1 - targets) * (1 - share).log()).mean()


def _oracle_main_metric(name: str, outputs: Tensor, targets: Tensor) -> Tensor:
    if name == "regression":
        return 1 - ((outputs - targets) ** 2).sum() / ((targets - targets.mean()) ** 2).sum()
    decided = outputs.argmax(1) if name == "multiclass" else (outputs > 0).reshape(targets.shape)
    return (decided == targets).float().mean()


@pytest.mark.parametrize("name", TASKS)
def test_loss_is_the_plain_formula(name):
    task, outputs, targets = _example(name)
    assert task.loss(outputs, targets).item() == pytest.approx(
        _oracle_loss(name, outputs, targets).item(), rel=1e-5
    )


@pytest.mark.parametrize("name", TASKS)
def test_main_metric_is_the_plain_formula(name):
    task, outputs, targets = _example(name)
    metric = task.metrics()[task.main_metric]
    metric.update(*task.judged(outputs, targets))
    assert metric.compute().item() == pytest.approx(
        _oracle_main_metric(name, outputs, targets).item(), rel=1e-5
    )


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_metrics_of_a_diverged_run_do_not_raise(name, bad):
    task, outputs, targets = _example(name)
    for metric in task.metrics().values():
        metric.update(*task.judged(torch.full_like(outputs, bad), targets))
        metric.compute()


@pytest.mark.parametrize("name", TASKS)
def test_loss_of_nan_outputs_is_nan(name):
    task, outputs, targets = _example(name)
    assert task.loss(torch.full_like(outputs, math.nan), targets).isnan()


@pytest.mark.parametrize("name", TASKS)
def test_fitting_targets_pass(name):
    task, outputs, targets = _example(name)
    task.check(outputs, targets)


def test_ignored_positions_count_for_neither_loss_nor_metric():
    task, outputs, targets = _example("multiclass")
    scored, half = outputs.unflatten(0, (4, 8)), targets.reshape(4, 8).clone()
    half[:, :4] = IGNORED
    kept = (scored[:, 4:].flatten(0, 1), half[:, 4:].flatten())
    task.check(scored, half)
    assert task.loss(scored, half).item() == pytest.approx(task.loss(*kept).item())
    for metric, twin in zip(task.metrics().values(), task.metrics().values(), strict=True):
        metric.update(*task.judged(scored, half))
        twin.update(*task.judged(*kept))
        assert metric.compute().item() == pytest.approx(twin.compute().item())


@pytest.mark.parametrize(
    ("name", "targets", "message"),
    [
        ("binary", torch.full((32,), 2), r"int64 of shape \(32,\) in \[2, 2\].* 0 or 1, of shape \(32,\)"),
        (
            "binary",
            torch.zeros(32, 1),
            r"float32 of shape \(32, 1\).* 0 or 1, of shape \(32,\), for one logit each",
        ),
        (
            "multiclass",
            torch.full((32,), 4),
            r"in \[4, 4\].* int64 in \[0, 3\], or -100 to ignore, of shape \(32,\)",
        ),
        ("multiclass", torch.zeros(32), r"float32 of shape \(32,\) in \[0, 0\].* int64 in \[0, 3\]"),
        ("multiclass", torch.zeros(31).long(), r"int64 of shape \(31,\)"),
        ("multilabel", torch.zeros(32), r"float32 of shape \(32,\) .* 0 or 1, of shape \(32, 4\)"),
        ("multilabel", torch.full((32, 4), 0.5), r"in \[0\.5, 0\.5\].* 0 or 1"),
        ("regression", torch.zeros(32), r"float32 of shape \(32,\) .* finite floats, of shape \(32, 2\)"),
        ("regression", torch.full((32, 2), math.nan), r"in \[nan, nan\].* finite floats"),
    ],
)
def test_targets_that_do_not_fit_are_described(name, targets, message):
    task, outputs, _ = _example(name)
    with pytest.raises(ValueError, match=rf"^targets: .*{message}"):
        task.check(outputs, targets)


def test_unknown_task_gets_close_match():
    with pytest.raises(ValueError, match=r"^task: 'multi_class' is unknown\. Did you mean 'multiclass'\?"):
        task_named("multi_class", out_features=3)
