"""Calls of loss functions: which are seen, with which numbers, and that the mode is in nobody's way."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

from tests.probes.watching import mlp, row, sgd, watched
from torchvitals import Schedule
from torchvitals.probes.lineage import made_by
from torchvitals.probes.mislaid import crossed, swapped


@pytest.fixture(autouse=True)
def nothing_compiled():
    """Where anything was compiled, losses outside of the model are left alone."""
    torch.compiler.reset()


def modes():
    return _get_current_function_mode_stack()


def table_of(loss_fn, model=None, steps=1, x=None, **options):
    """The `loss` table of the first step of a training with `loss_fn(output)`."""
    model = mlp() if model is None else model
    optimizer = sgd(model)
    with watched(model, optimizer, "loss", **options) as vitals:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = loss_fn(model(torch.randn(12, 4) if x is None else x))
            loss.backward()
            optimizer.step()
            vitals.step(loss)
            assert modes() == []
    return vitals.snapshots[0].tables.get("loss")


CLASSES = torch.tensor([0, 1, 1, 0, 1, 1, 1, 0, 0, 1, 1, 1])  # of three classes the last is absent


def test_numbers_of_a_cross_entropy_are_those_of_its_float64_twin():
    torch.manual_seed(1)
    x, model = torch.randn(12, 4), mlp()
    z = model(x).detach().double()
    table = table_of(lambda out: F.cross_entropy(out, CLASSES), model, x=x)
    found = row(table, "cross_entropy")
    p = np.array([4, 8]) / 12
    expected = {
        "count": 12,
        "classes": 3,
        "loss_sum": 12 * F.cross_entropy(z, CLASSES).item(),
        "low": z.min().item(),
        "high": z.max().item(),
        "sum": z.sum().item(),
        "sum_sq": z.square().sum().item(),
        "row_error": (z.sum(1) - 1).abs().max().item(),
        "target_sum": 8,
        "target_sq": 8,
        "target_low": 0,
        "target_high": 1,
        "prior": -12 * float((p * np.log(p)).sum()),
        "broadcast": 0,
        "adjusted": 0,
        "axis": -1,
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert (found["op"], found["after"], found["reduction"]) == ("cross_entropy", "", "mean")
    assert table.units["present"][0].tolist() == [True, True, False]


@pytest.mark.parametrize("how", ["sum", "none", "mean"])
def test_the_mean_loss_does_not_depend_on_the_reduction(how):
    torch.manual_seed(1)
    x, model, y = torch.randn(12, 4), mlp(), torch.where(torch.arange(12) < 3, -100, CLASSES)
    z = model(x).detach().double()
    found = row(table_of(lambda o: F.cross_entropy(o, y, reduction=how).sum(), model, x=x), "cross_entropy")
    assert found["loss_sum"] == pytest.approx(12 * F.cross_entropy(z, y).item(), rel=1e-5)
    assert (found["reduction"], found["adjusted"]) == (how, 1)  # three targets are ignored


def test_micro_batches_merge_to_the_whole():
    torch.manual_seed(1)
    x, y = torch.randn(12, 4), CLASSES
    whole = table_of(lambda out: F.cross_entropy(out, y), x=x)
    model = mlp()
    optimizer = sgd(model)
    with watched(model, optimizer, "loss") as vitals:
        for i, (part, target) in enumerate(zip(x.split(6), y.split(6), strict=True)):
            loss = F.cross_entropy(model(part), target)
            loss.backward()
            if i:
                optimizer.step()
            vitals.step(loss)
    merged = vitals.snapshots[0]["loss"]
    assert merged.names == whole.names
    for key in ("count", "loss_sum", "low", "high", "sum", "sum_sq", "row_error", "target_sum"):
        assert merged[key] == pytest.approx(whole[key], rel=1e-4)


def test_a_distribution_over_classes_is_a_target():
    y = torch.tensor([[0.5, 0.5, 0.0]]).expand(12, 3)
    table = table_of(lambda out: F.cross_entropy(out, y, label_smoothing=0.1))
    found = row(table, "cross_entropy")
    assert (found["count"], found["adjusted"], found["broadcast"]) == (12, 1, 0)
    assert found["prior"] == pytest.approx(12 * math.log(2))
    assert table.units["present"][0].tolist() == [True, True, False]


@pytest.mark.parametrize("weight", [{"weight": torch.ones(3)}, {}], ids=["weighted", "plain"])
def test_every_spelling_is_seen(weight):
    from torch.nn.functional import nll_loss

    def loss_fn(out):
        return (
            nn.CrossEntropyLoss(**weight)(out, CLASSES)
            + nll_loss(target=CLASSES, input=out.log_softmax(1))
            + F.cross_entropy(out, CLASSES)
            + nn.MSELoss()(out.squeeze(), torch.zeros(12, 3))
        )

    table = table_of(loss_fn)
    assert table.names == ("cross_entropy", "nll_loss", "cross_entropy#2", "mse_loss")
    assert row(table, "nll_loss")["after"] == "log_softmax"
    assert row(table, "cross_entropy")["adjusted"] == bool(weight)


def test_a_broadcast_of_prediction_and_target_is_seen():
    def loss_fn(out):
        with pytest.warns(UserWarning, match="size"):
            return F.mse_loss(out[:, :1], torch.arange(12.0))

    found = row(table_of(loss_fn), "mse_loss")
    assert (found["broadcast"], found["classes"], found["row_error"]) == (1, 0, -1)
    assert found["target_sum"] == 66
    assert found["prior"] == 0


def test_binary_targets_have_a_prior_per_question():
    y = torch.zeros(12, 3)
    y[:6, 0] = y[:3, 1] = 1
    table = table_of(lambda out: F.binary_cross_entropy_with_logits(out, y))
    found = row(table, "binary_cross_entropy_with_logits")
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert found["prior"] == pytest.approx(36 * (math.log(2) + quarter) / 3)
    assert (found["classes"], found["count"]) == (3, 36)
    assert table.units["present"][0].tolist() == [True, True, False]
    alone = table_of(lambda out: F.binary_cross_entropy(out[:, 0].sigmoid(), torch.ones(12)))
    assert row(alone, "binary_cross_entropy")["after"] == "sigmoid"
    assert alone.units["present"][0].tolist() == [False, True]


def test_a_loss_inside_of_the_model_is_seen_and_one_without_gradient_is_not():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = mlp()

        def forward(self, x):
            out = self.body(x)
            F.mse_loss(out.detach(), torch.zeros_like(out))
            with torch.no_grad():
                F.l1_loss(out, torch.zeros_like(out))
            return F.cross_entropy(out, CLASSES)

    assert table_of(lambda loss: loss, Net()).names == ("cross_entropy",)


def test_only_the_first_calls_of_an_iteration_are_measured():
    table = table_of(lambda out: sum((F.mse_loss(out, torch.zeros(12, 3)) for _ in range(20)), out.sum()))
    assert len(table) == 8


def test_losses_that_are_not_finite_leave_the_statistics_of_the_prediction_finite():
    y = torch.zeros(12, 3)
    found = row(table_of(lambda out: F.mse_loss(out / torch.zeros(12, 3), y)), "mse_loss")
    assert all(
        math.isfinite(found[key]) for key in found if key not in ("op", "after", "reduction", "loss_sum")
    )


def leaf(*shape):
    return torch.randn(*shape, requires_grad=True)


@pytest.mark.parametrize(
    ("make", "after", "axis"),
    [
        pytest.param(lambda x: x.softmax(-1), "softmax", 2, id="negative"),
        pytest.param(lambda x: x.softmax(1).transpose(1, 2), "softmax", 2, id="transposed"),
        pytest.param(lambda x: x.softmax(1).permute(2, 0, 1), "softmax", 2, id="permuted"),
        pytest.param(lambda x: x.softmax(2).reshape(8, 5), "softmax", 1, id="flattened-in-front"),
        pytest.param(lambda x: x.softmax(1).flatten(1), "softmax", -1, id="flattened-away"),
        pytest.param(lambda x: x.softmax(2)[:, 0], "softmax", 1, id="selected"),
        pytest.param(lambda x: x.softmax(2)[..., 0], "softmax", -1, id="one-class"),
        pytest.param(lambda x: x.log_softmax(0).unsqueeze(0).double().clone(), "log_softmax", 1, id="wide"),
        pytest.param(lambda x: x.softmax(1).expand(3, 2, 4, 5), "softmax", 2, id="expanded"),
        pytest.param(lambda x: x.softmax(1).log(), "log_softmax", 1, id="logarithm"),
        pytest.param(lambda x: x.sigmoid().sigmoid().squeeze(), "sigmoid+sigmoid", -1, id="twice"),
        pytest.param(
            lambda x: x.softmax(1).view(2, 4, 5).log_softmax(1), "softmax+log_softmax", 1, id="both"
        ),
        pytest.param(lambda x: x.log_softmax(1).log_softmax(1), "log_softmax", 1, id="harmless-twice"),
        pytest.param(lambda x: x.relu().view(-1), "relu", -1, id="relu"),
        pytest.param(torch.tanh, "tanh", -1, id="tanh"),
        pytest.param(lambda x: x.softmax(1) * 2, "", -1, id="something-else"),
        pytest.param(lambda x: x, "", -1, id="leaf"),
    ],
)
def test_what_made_the_prediction_is_read_behind_changes_of_shape(make, after, axis):
    x = make(leaf(2, 4, 5))
    assert made_by(x) == (after, axis)
    if "softmax" in after and "log" not in after and axis >= 0:  # the dimension is the one that sums to 1
        assert torch.allclose(x.sum(axis), torch.ones(()).to(x), atol=1e-5)


# -- the mode


class Mine(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


def test_beside_a_mode_of_the_user_it_does_not_stay():
    def loss_fn(out):
        assert [type(mode) for mode in modes()] == [Mine]
        return F.cross_entropy(out, CLASSES)

    with Mine():
        optimizer = sgd(model := mlp())
        with watched(model, optimizer, "loss") as vitals:
            loss = loss_fn(model(torch.randn(12, 4)))
            loss.backward()
            optimizer.step()
            vitals.step(loss)
            assert [type(mode) for mode in modes()] == [Mine]
    assert modes() == []
    assert "No loss function" in str(vitals.coverage)


def test_below_a_later_mode_of_the_user_it_waits_until_it_can_leave():
    optimizer = sgd(model := mlp())
    with watched(model, optimizer, "loss") as vitals:
        out = model(torch.randn(12, 4))
        with Mine():
            loss = F.cross_entropy(out, CLASSES)
            loss.backward()
            optimizer.step()
            vitals.step(loss)
            assert len(modes()) == 2
        optimizer.zero_grad()
        model(torch.randn(12, 4)).sum().backward()
        optimizer.step()
        vitals.step(loss)
        assert modes() == []
    assert vitals.snapshots[0]["loss"].names == ("cross_entropy",)


def test_it_can_leave_in_a_step_that_is_not_due():
    optimizer = sgd(model := mlp())
    with watched(model, optimizer, "loss", schedule=Schedule(dense=1, every=64)) as vitals:
        for due in (True, False):
            loss = model(torch.randn(12, 4)).sum()
            loss.backward()
            with Mine() if due else torch.enable_grad():
                optimizer.step()
                vitals.step(loss)
            assert len(modes()) == due


def test_with_a_default_device_it_stays():
    with torch.device("cpu"):
        optimizer = sgd(model := mlp())
        with watched(model, optimizer, "loss") as vitals:
            loss = F.cross_entropy(model(torch.randn(12, 4)), CLASSES)
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    assert modes() == []
    assert vitals.snapshots[0]["loss"].names == ("cross_entropy",)


def test_closing_between_forward_and_backward_leaves_no_mode():
    with watched(model := mlp(), sgd(model), "loss"):
        out = model(torch.randn(12, 4))
        assert len(modes()) == 1
    assert modes() == []
    out.sum().backward()


@pytest.mark.parametrize("own", [True, False], ids=["frozen-inside", "teacher-outside"])
def test_attention_in_eval_mode_keeps_its_fast_path(own):
    """It looks whether a mode is on, and would give other digits."""
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval().requires_grad_(False)
    taken, inner = [], attention.forward
    x = torch.randn(3, 5, 8)

    def attend():
        with torch.no_grad():
            return attention(x, x, x, need_weights=False)[0]

    def spy(*args, **kwargs):
        taken.append(torch.overrides.has_torch_function((x,)))
        return inner(*args, **kwargs)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(8, 1)
            if own:
                self.attention = attention

        def train(self, mode=True):
            super().train(mode)
            attention.eval()
            return self

        def forward(self, x):
            return self.head(attend() if own else x)

    expected, model = attend(), Net()
    attention.forward = spy
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.1)
    with watched(model, optimizer, "loss", "activation"):
        out = model(x)
        given = attend()
        assert len(modes()) == 1
    assert taken == [False] * (1 + own)
    assert torch.equal(given, expected)
    out.sum().backward()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_beside_compiled_code_it_does_not_stay():
    compiled = []

    def backend(graph, _):
        compiled.append(graph)
        return graph.forward

    @torch.compile(backend=backend, fullgraph=True)
    def loss_fn(out):
        return F.cross_entropy(out, CLASSES)

    optimizer = sgd(model := mlp())
    with watched(model, optimizer, "loss") as vitals:
        for _ in range(4):
            loss = loss_fn(model(torch.randn(12, 4)))
            assert modes() == []
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    assert len(compiled) == 1


# -- entries that meet others than they should

Y = torch.linspace(-1, 1, 12)
MASK = torch.ones(12, 12).triu()


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(lambda out: (out - Y).abs().mean(), id="absolute error"),
        pytest.param(lambda out: (Y - out).pow(2).sum() / 12, id="squared error, summed"),
        pytest.param(lambda out: 3 * torch.log(torch.cosh(out - Y)).mean() + 1, id="log cosh, scaled"),
        pytest.param(lambda out: (out[:, 0] - Y[:, None]).square().mean(), id="the other way round"),
    ],
)
def test_a_loss_that_compares_every_prediction_with_every_target_is_seen(loss):
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1))
    found = row(table_of(loss, model), "loss")
    assert (found["op"], found["broadcast"], found["count"], found["reduction"]) == (
        "difference",
        1,
        12,
        "mean",
    )
    assert found["loss_sum"] > 0


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(lambda out: (out[:, 0] - Y).abs().mean(), id="one target each"),
        pytest.param(lambda out: (out - 1).square().mean(), id="against one number"),
        pytest.param(lambda out: (out - out.T).abs().mean(), id="predictions among themselves"),
        pytest.param(lambda out: (MASK * (out - Y).square()).mean(), id="pairs that are chosen"),
        pytest.param(
            lambda out: 2 * (out - Y).abs().mean() - (out - out.T).abs().mean(), id="an energy distance"
        ),
        pytest.param(lambda out: (out - Y).square().neg().exp().sum(1).log().mean(), id="a kernel density"),
        pytest.param(lambda out: (out - Y[:5]).abs().mean(), id="quantiles"),
        pytest.param(lambda out: (out - torch.zeros(12, 1)).abs().mean(), id="equal shapes"),
        pytest.param(lambda out: -(torch.log_softmax(out, 0) * MASK).mean(), id="risk sets"),
    ],
)
def test_pairs_that_are_meant_are_none(loss):
    out = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1))(torch.randn(12, 4))
    assert crossed(loss(out)) == 0


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("classes", [5, 6], ids=["C is not T", "C is T"])
def test_a_view_that_stands_for_a_transpose_is_seen(bias, classes):
    out = nn.Linear(8, classes, bias=bias)(nn.LayerNorm(8)(torch.randn(4, 6, 8)))
    assert swapped(out.view(4, classes, 6))
    healthy = (
        out,
        out.transpose(1, 2),
        out.transpose(1, 2).contiguous(),
        out.transpose(1, 2).contiguous().view(4, classes, 6),
        out.reshape(-1, classes),
        out.view(2, 2, 6, classes).permute(0, 3, 1, 2),
    )
    assert not any(map(swapped, healthy))


def test_logits_of_all_places_from_one_layer_may_be_viewed():
    assert not swapped(nn.Linear(8, 30)(torch.randn(4, 8)).view(4, 5, 6))


def test_the_classes_of_an_image_lie_along_dimension_1():
    assert not swapped(nn.Conv2d(1, 3, 3)(torch.randn(2, 1, 8, 8)).view(2, 3, 6, 6))


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        pytest.param([8.0, 4.0, 2.0, 1.0], 1.0, id="more for the frequent"),
        pytest.param([1.0, 2.0, 4.0, 8.0], -1.0, id="more for the rare"),
        pytest.param([1.0, 1.0, 1.0, 1.0], -1.0, id="none to speak of"),
        pytest.param([9.0, 1.0, 1.0, 1.0], -1.0, id="one class alone"),
        pytest.param([0.0, 1.0, 1.0, 8.0], -1.0, id="a class that does not count"),
        pytest.param(None, -1.0, id="no weights"),
    ],
)
def test_whether_weights_follow_the_counts_of_their_classes(weight, expected):
    y = torch.tensor([0] * 8 + [1] * 4 + [2] * 2 + [3])
    given = None if weight is None else torch.tensor(weight)
    model, x = nn.Linear(4, 4), torch.randn(15, 4)
    found = row(table_of(lambda out: F.cross_entropy(out, y, weight=given), model, x=x), "cross_entropy")
    assert found["weights_follow"] == pytest.approx(expected, abs=0.02)
