"""The training module: what it logs, that it hides nothing, that it is reproducible."""

import math

import pytest
import torch
from torch import nn
from torch.optim import SGD

from models.build import Built
from models.data.bundled import Wine
from models.tasks import task_named
from models.training import TrainingModule


def test_one_epoch_logs_losses_and_metrics(built, fit):
    made = built()
    trainer = fit(made, max_epochs=1)
    assert set(trainer.callback_metrics) == {"train/loss", "val/loss", "val/accuracy", "val/f1"}
    tested = trainer.test(made.module, made.data, verbose=False)[0]
    assert set(tested) == {"test/loss", "test/accuracy", "test/f1"}


def test_logged_losses_are_the_plain_means(built, fit):
    made = built(**{"optimizer.lr": 1e-12})
    trainer = fit(made, max_epochs=1)
    network, loss_of = made.module.network.eval(), made.module.task.loss
    with torch.no_grad():
        losses = [loss_of(network(x), y) for x, y in made.data.train_dataloader()]
        val = loss_of(network(made.data.val.x), made.data.val.y)
    assert trainer.callback_metrics["train/loss"].item() == pytest.approx(
        torch.stack(losses).mean().item(), rel=1e-5
    )
    assert trainer.callback_metrics["val/loss"].item() == pytest.approx(val.item(), rel=1e-5)


@pytest.mark.parametrize("data", ["wine", "breast_cancer", "diabetes"])
def test_divergence_is_logged_as_nan_and_the_run_goes_on(built, fit, data):
    made = built(data=data, optimizer="sgd", init="normal01", **{"optimizer.lr": 1e30, "model.depth": 5})
    trainer = fit(made, max_epochs=2)
    assert trainer.global_step == 2 * len(made.data.train_dataloader())
    assert math.isnan(trainer.callback_metrics["train/loss"])
    trainer.test(made.module, made.data, verbose=False)


def _trained_weights(built, fit, *, seed: int, state: int) -> torch.Tensor:
    torch.manual_seed(state)
    made = built(seed=seed)
    fit(made, max_epochs=2)
    return nn.utils.parameters_to_vector(made.module.parameters()).detach()


def test_equal_seeds_train_to_equal_weights_bit_for_bit(built, fit):
    first, second = (_trained_weights(built, fit, seed=0, state=state) for state in (1, 2))
    assert torch.equal(first, second)


def test_another_seed_trains_to_other_weights(built, fit):
    assert not torch.equal(*(_trained_weights(built, fit, seed=seed, state=1) for seed in (0, 1)))


def test_schedule_moves_at_every_step_and_ends_with_the_run(built, fit):
    made = built(scheduler="cosine", optimizer="sgd")
    trainer = fit(made, max_epochs=3)
    scheduler = trainer.lr_scheduler_configs[0].scheduler
    assert scheduler.last_epoch == trainer.global_step
    assert scheduler.get_last_lr() == pytest.approx([0.0])


def test_schedule_without_an_end_is_refused(built, fit):
    with pytest.raises(
        ValueError, match=r"^max_epochs: -1 is not allowed\. Choices: a number: a schedule needs an end"
    ):
        fit(built(scheduler="cosine"), max_epochs=-1, max_time={"seconds": 5})


def test_targets_that_do_not_fit_are_described_at_the_first_batch(fit):
    module = TrainingModule(
        nn.Linear(13, 2),
        task=task_named("multiclass", out_features=2),
        optimizer=lambda weights: SGD(weights, lr=0.1),
    )
    with pytest.raises(ValueError, match=r"^targets: .*int64 of shape .* in \[0, 2\].* int64 in \[0, 1\]"):
        fit(Built(module, Wine()), max_epochs=1)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_textbook_cross_trains_ten_layers_on_digits(built, fit, activation, optimizer):
    made = built(data="digits", activation=activation, optimizer=optimizer, **{"model.depth": 10})
    # After ten epochs SGD is still on its way, and how far depends on the processor's rounding.
    trainer = fit(made, max_epochs=20)
    assert trainer.test(made.module, made.data, verbose=False)[0]["test/accuracy"] > 0.9
