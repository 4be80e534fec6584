"""What is measured of parameters, updates and optimizers, against twins written the slow way."""

import pytest
import torch
from torch import nn

import torchvitals
from tests.probes.looking import look, row
from torchvitals import Schedule
from torchvitals.probes.subject import Subject
from torchvitals.reporters import MemoryReporter


class Mixed(nn.Module):
    """One of each: embedding, convolution, norm, linear, a parameter of its own, frozen, tied and unused
    ones.
    """

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.embed = nn.Embedding(10, 6)
        self.conv = nn.Conv1d(6, 8, 3, padding=1)
        self.norm = nn.LayerNorm(8)
        self.frozen = nn.Linear(8, 6).requires_grad_(False)
        self.head = nn.Linear(6, 10, bias=False)
        self.head.weight = self.embed.weight
        self.unused = nn.Linear(4, 3)

    def forward(self, ids):
        x = self.conv(self.embed(ids).transpose(1, 2)).transpose(1, 2)
        return self.head(self.frozen(self.norm(x))) * self.scale


IDS = torch.tensor([[1, 2, 3], [1, 1, 2]])


def test_parameters_tell_what_they_are():
    model = Mixed()
    held = [p for name, p in model.named_parameters() if not name.startswith("conv")]
    (snapshot,) = look(model, IDS, optimizers=torch.optim.SGD(held, lr=0.1))
    told = {name: row(snapshot["parameter"], name) for name in snapshot["parameter"].names}
    keys = ("op", "fan_in", "trainable", "held", "resolution")
    assert {name: tuple(r[key] for key in keys) for name, r in told.items()} == {
        "scale": ("Mixed", 0, 1, 1, 2.0**-23),
        "embed.weight": ("Embedding", 0, 1, 1, 2.0**-23),
        "conv.weight": ("Conv1d", 18, 1, 0, 2.0**-23),
        "conv.bias": ("Conv1d", 0, 1, 0, 2.0**-23),
        "norm.weight": ("LayerNorm", 0, 1, 1, 2.0**-23),
        "norm.bias": ("LayerNorm", 0, 1, 1, 2.0**-23),
        "frozen.weight": ("Linear", 8, 0, 1, 2.0**-23),
        "frozen.bias": ("Linear", 0, 0, 1, 2.0**-23),
        "unused.weight": ("Linear", 4, 1, 1, 2.0**-23),
        "unused.bias": ("Linear", 0, 1, 1, 2.0**-23),
    }
    assert told["conv.weight"]["sum_sq"] > 0


def test_without_an_optimizer_every_parameter_counts_as_held():
    (snapshot,) = look(nn.Linear(2, 1), torch.ones(3, 2), optimizers=[])
    assert snapshot["parameter"]["held"].tolist() == [1, 1]


def test_updates_are_of_trainable_parameters_and_those_without_a_gradient_are_idle():
    model = Mixed()
    (snapshot,) = look(model, IDS)
    update = snapshot["update"]
    assert not any(name.startswith(("frozen", "head")) for name in update.names)
    for name, count in (("unused.weight", 12), ("unused.bias", 3)):
        found = row(update, name)
        assert (found["idle"], found["unchanged"], found["sum_sq"]) == (count, 0, 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("rate", [1e-8, 3e-3, 1.0])
def test_unchanged_are_entries_with_a_gradient_that_rounding_kept_where_they_were(dtype, rate):
    torch.manual_seed(0)
    model = nn.Linear(16, 8).to(dtype)
    x = torch.randn(32, 16, dtype=dtype)
    x[:, 3:5] = 0
    before = model.weight.detach().clone()
    (snapshot,) = look(model, x, optimizers=torch.optim.SGD(model.parameters(), lr=rate))
    assert model.weight.grad is not None
    unchanged = idle = 0
    for old, new, slope in zip(
        before.flatten().tolist(),
        model.weight.flatten().tolist(),
        model.weight.grad.flatten().tolist(),
        strict=True,
    ):
        idle += slope == 0
        unchanged += slope != 0 and old == new
    found = row(snapshot["update"], "weight")
    assert (found["unchanged"], found["idle"]) == (unchanged, idle)
    assert idle == 16
    assert found["resolution"] == torch.finfo(dtype).eps
    if rate == 1e-8:
        assert unchanged > 100


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_what_the_optimizer_or_the_user_does_to_gradients_afterwards_does_not_count(kind):
    class Tidy(kind):
        def step(self, closure=None):
            super().step(closure)
            self.zero_grad(set_to_none=False)

    torch.manual_seed(0)
    model, x = nn.Linear(4, 2), torch.randn(8, 4)
    x[:, 1] = 0
    options = {"momentum": 0.9, "nesterov": True, "foreach": True} if kind is torch.optim.SGD else {}
    for snapshot in look(model, x, optimizers=Tidy(model.parameters(), lr=0.1, **options), steps=3):
        found = row(snapshot["update"], "weight")
        assert (found["idle"], found["unchanged"]) == (2, 0)


def test_rows_that_a_sparse_gradient_does_not_store_are_idle():
    model = nn.Embedding(10, 4, sparse=True)
    ids = torch.tensor([7, 2, 2, 5])
    (snapshot,) = look(model, ids)
    found = row(snapshot["update"], "weight")
    assert (found["count"], found["idle"], found["unchanged"]) == (40, 28, 0)


def test_each_of_several_optimizers_brings_the_gradients_of_its_own_parameters():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    pair = [torch.optim.SGD(part.parameters(), lr=0.1) for part in (model[0], model[2])]
    (both,) = look(model, torch.randn(8, 4), optimizers=pair)
    assert both["update"]["idle"].tolist() == both["update"]["unchanged"].tolist() == [0] * 4
    (first,) = look(model, torch.randn(8, 4), optimizers=pair, step=pair[0].step)
    assert dict(zip(first["update"].names, first["update"]["idle"].tolist(), strict=True)) == {
        "0.weight": 0, "0.bias": 0, "2.weight": 4, "2.bias": 1
    }  # fmt: skip
    assert not first["update"]["unchanged"].any()


def test_gradients_of_micro_batches_count_once_they_are_together():
    torch.manual_seed(0)
    x = torch.zeros(8, 4)
    x[:4, 0], x[4:, 1] = 1.0, 1.0
    (snapshot,) = look(nn.Linear(4, 2), *x.split(4))
    assert row(snapshot["update"], "weight")["idle"] == 4


def scalars(*optimizers):
    return Subject(MODEL, optimizers).scalars()


MODEL = nn.Linear(2, 2)
OPTIM = torch.optim


def test_scalars_are_the_extremes_of_the_groups():
    groups = [
        {"params": [MODEL.weight], "weight_decay": 0.1, "lr": 0.5},
        {"params": [MODEL.bias], "weight_decay": 0.0, "betas": (0.5, 0.9)},
    ]
    assert scalars(OPTIM.AdamW(groups, lr=0.1, eps=1e-6)) == {
        "lr": 0.5, "eps": 1e-6, "weight_decay": 0.1, "momentum": 0.9, "foreign_parameters": 0
    }  # fmt: skip
    assert scalars(OPTIM.SGD([MODEL.weight], lr=0.1, momentum=0.8))["momentum"] == 0.8
    assert scalars() == {}
    assert {"weight_decay", "momentum"}.isdisjoint(scalars(OPTIM.LBFGS([MODEL.weight])))


def test_settings_kept_in_tensors_are_read_where_reading_waits_for_no_device():
    adam = OPTIM.Adam([MODEL.weight], lr=torch.tensor(0.25), capturable=False)
    assert scalars(adam)["lr"] == 0.25


def test_tensors_that_are_not_the_model_s_are_counted_once_and_anew_at_each_look():
    stranger = nn.Parameter(torch.ones(2))
    pair = OPTIM.SGD([MODEL.weight, stranger], lr=0.1), OPTIM.SGD([stranger], lr=0.1)
    subject = Subject(MODEL, pair)
    assert subject.scalars()["foreign_parameters"] == 1
    pair[0].add_param_group({"params": [torch.ones(3, requires_grad=True)]})
    subject.refresh()
    assert subject.scalars()["foreign_parameters"] == 2


class Conjugate(nn.Module):
    """Its gradient, its outputs and those of its inner site are conjugated lazily."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(6, 5, dtype=torch.complex64))
        self.inner = nn.Identity()

    def forward(self, x):
        return self.inner((x.to(torch.complex64) @ self.w.conj()).conj())


def test_what_is_conjugated_lazily_is_measured():
    model = Conjugate()
    snapshots = look(
        model,
        torch.randn(4, 6),
        loss_fn=lambda z: torch.view_as_real(z.resolve_conj()).square().mean(),
        steps=3,
    )
    assert all(s["update"]["sum_sq"][0] > 0 and s["parameter"]["sum_sq"][0] > 0 for s in snapshots)


@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e-25])
@pytest.mark.parametrize("shared", [False, True])
def test_the_norm_of_all_gradients_is_the_same_in_steps_that_are_due_and_not(scale, shared):
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.0)]
    if shared:
        optimizers.append(torch.optim.SGD(model[1].parameters(), lr=0.0))
    keep = MemoryReporter()
    watching = torchvitals.watch(
        model,
        optimizers,
        reporters=[keep],
        schedule=Schedule(dense=0, every=2),
        strict=True,
        diagnostics=["non-finite"],
    )
    with watching as vitals:
        for _ in range(6):
            model.zero_grad()
            loss = model(torch.ones(4, 6)).sum() * scale
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            vitals.step(loss)
    expected = (
        sum(float(p.grad.double().square().sum()) for p in model.parameters() if p.grad is not None) ** 0.5
    )
    assert [s.due for s in keep.snapshots] == [True, False] * 3
    for snapshot in keep.snapshots:
        assert snapshot.scalars["gradient_norm"] == pytest.approx(expected, rel=1e-5)
