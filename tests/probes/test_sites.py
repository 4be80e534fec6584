"""What is a site, in which order, under which name, and with which numbers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import torchvitals
from torchvitals import Schedule
from torchvitals.reporters import MemoryReporter


def look(model, *inputs, loss_fn=None, steps=1, **options):
    """Snapshots of a few steps on the same inputs."""
    keep = MemoryReporter()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with torchvitals.watch(model, optimizer, reporters=[keep], strict=True, **options) as vitals:
        for _ in range(steps):
            out = model(*inputs)
            loss = loss_fn(out) if loss_fn else out.square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            vitals.step(loss)
    return keep.snapshots, vitals


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.b = nn.Linear(8, 8)  # registered first, called last
        self.a = nn.Linear(8, 8)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.act(self.a(x))
        x = F.relu(x + 1)
        x = (torch.tanh(x) + 0).relu_()
        return self.b(self.a(x))


def test_sites_are_modules_and_functional_calls_in_execution_order():
    (snapshot,), _ = look(Functional(), torch.randn(16, 8))
    assert snapshot["activation"].names == ("a", "act", "relu", "tanh", "relu#2", "a#2", "b")
    assert list(snapshot["activation"]["op"]) == [
        "Linear",
        "relu",
        "relu",
        "tanh",
        "relu",
        "Linear",
        "Linear",
    ]
    assert snapshot["silence"].names == ("act", "relu", "relu#2")


def test_parameters_come_in_execution_order_from_the_second_look_on():
    snapshots, _ = look(Functional(), torch.randn(16, 8), steps=2)
    assert snapshots[1]["gradient"].names == ("a.weight", "a.bias", "b.weight", "b.bias")


def test_numbers_of_a_site_are_those_of_the_tensors_themselves():
    torch.manual_seed(0)
    model, x = Functional(), torch.randn(16, 8)
    z = model.a(x)
    z.retain_grad()
    h = torch.relu(z)
    h.retain_grad()
    h2 = torch.relu(h + 1)
    out = model.b(model.a(torch.relu(torch.tanh(h2))))
    out.square().mean().backward()
    assert z.grad is not None
    assert h.grad is not None
    z_norm, h_norm = float(z.grad.norm()), float(h.grad.norm())
    (snapshot,), _ = look(model, x)
    activation, gradient = snapshot["activation"], snapshot["activation_gradient"]
    assert activation["sum_sq"][activation.index("a")] == pytest.approx(
        z.detach().square().sum().item(), rel=1e-5
    )
    assert activation["sum_sq"][activation.index("act")] == pytest.approx(
        h.detach().square().sum().item(), rel=1e-5
    )
    # The gradient by the pre-activation and by the activation differ although the module works in place.
    assert gradient.norm[gradient.index("a")] == pytest.approx(z_norm, rel=1e-5)
    assert gradient.norm[gradient.index("act")] == pytest.approx(h_norm, rel=1e-5)


def test_units_are_the_channels_of_images_and_the_features_of_sequences():
    conv = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 36, 2))
    (snapshot,), _ = look(conv, torch.randn(4, 1, 8, 8))
    assert [len(bits) for bits in snapshot["silence"].units["fired"]] == [5]
    assert snapshot["silence"]["positions"][0] == 4 * 36
    sequence = nn.Sequential(nn.Linear(3, 7), nn.GELU(), nn.Linear(7, 2))
    (snapshot,), _ = look(sequence, torch.randn(4, 11, 3))
    assert [len(bits) for bits in snapshot["silence"].units["fired"]] == [7]
    assert snapshot["silence"]["positions"][0] == 44


def test_a_unit_is_silent_by_its_pre_activation_also_where_that_is_overwritten():
    first = nn.Linear(4, 6)
    model = nn.Sequential(first, nn.ReLU(inplace=True), nn.Linear(6, 1))
    with torch.no_grad():
        first.bias[2:4] = -1e3
    (snapshot,), _ = look(model, torch.randn(64, 4))
    assert snapshot["silence"].units["fired"][0].tolist() == [True, True, False, False, True, True]


def test_passes_in_eval_mode_or_without_gradients_are_not_measured():
    model, keep = Functional(), MemoryReporter()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torchvitals.watch(model, optimizer, reporters=[keep], strict=True) as vitals:
        model(torch.randn(4, 8)).sum().backward()
        with torch.no_grad():
            model(torch.full((99, 8), 1e9))
        model.eval()
        model(torch.full((99, 8), 1e9))
        model.train()
        optimizer.step()
        vitals.step(1.0)
    table = keep.snapshots[0]["activation"]
    assert table["count"][table.index("a")] == 4 * 8
    assert "eval mode" in str(vitals.coverage)


def _in_eval_mode(*, steps: int = 4, before=lambda _model, _step: None, returns: bool = True):
    """Snapshots of a training all of whose passes are in eval mode, and what could not be seen."""
    torch.manual_seed(0)
    model, keep = Functional(), MemoryReporter()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torchvitals.watch(model, optimizer, reporters=[keep], strict=True) as vitals:
        for step in range(steps):
            before(model, step)
            loss = model.eval()(torch.randn(4, 8)).sum()
            if returns:
                loss.backward()
            optimizer.step()
            vitals.step(loss.detach())
    return ["activation" in s for s in keep.snapshots], str(vitals.coverage)


def test_what_is_trained_in_eval_mode_is_measured_from_the_third_step_on():
    measured, coverage = _in_eval_mode()
    assert measured == [False, False, True, True]
    assert "trained in eval mode" in coverage
    assert "not measured" not in coverage


def test_passes_in_eval_mode_beside_those_of_training_or_without_a_gradient_never_are():
    def attacked(model, step):
        model.train()(torch.full((2, 8), 3.0)).sum().backward()

    measured, coverage = _in_eval_mode(before=attacked)
    assert measured == [True] * 4
    assert "eval mode: such passes are not measured" in coverage
    assert _in_eval_mode(returns=False)[0] == [False] * 4
    late = _in_eval_mode(before=lambda model, step: attacked(model, step) if step == 3 else None)
    assert late[0] == [False, False, True, True]


def test_micro_batches_of_a_step_are_merged():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1)), torch.randn(32, 4)
    (whole,), _ = look(model, x, loss_fn=lambda out: out.sum())
    keep = MemoryReporter()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    torch.manual_seed(0)
    for module in (m for m in model if isinstance(m, nn.Linear)):
        module.reset_parameters()
    optimizer.zero_grad()
    with torchvitals.watch(model, optimizer, reporters=[keep], strict=True) as vitals:
        for i, part in enumerate(x.split(8)):
            loss = model(part).sum()
            loss.backward()
            if i == 3:
                optimizer.step()
            vitals.step(loss)
    (merged,) = keep.snapshots
    for kind in ("activation", "activation_gradient", "silence", "gradient"):
        assert merged[kind].names == whole[kind].names
        for name, column in whole[kind].columns.items():
            # Spread is about the mean of each micro-batch.
            if name not in ("op", "spread", "freedom"):
                assert merged[kind][name] == pytest.approx(column, rel=1e-4, abs=1e-6)
    assert merged.scalars["loss"] == pytest.approx(whole.scalars["loss"] / 4, rel=1e-4)


@pytest.mark.parametrize("reentrant", [False, True], ids=["non-reentrant", "reentrant"])
def test_recomputation_under_checkpointing_is_not_counted_twice(reentrant):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
            self.head = nn.Linear(4, 1)

        def forward(self, x):
            return self.head(checkpoint(self.body, x, use_reentrant=reentrant))

    (snapshot,), _ = look(Net(), torch.randn(8, 4, requires_grad=True))
    table = snapshot["activation"]
    assert table["count"][table.index("head")] == 8
    if not reentrant:
        assert table["count"][table.index("body.0")] == 32


def test_modules_that_call_functions_inside_are_one_site():
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    (snapshot,), _ = look(model, torch.randn(4, 5, 8))
    assert snapshot["activation"].names == ("self_attn", "norm1", "linear1", "relu", "linear2", "norm2")


def test_one_linear_layer_is_one_site_whatever_the_batch():
    (snapshot,), _ = look(nn.Linear(3, 2), torch.randn(32, 3))
    assert len(snapshot["activation"]) == 1


def test_updates_are_what_changed_not_what_was_asked_for():
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone()
    (snapshot,), _ = look(model, torch.randn(8, 3))
    update = snapshot["update"]
    true = float((model.weight.detach() - before).norm())
    assert update.norm[update.index("weight")] == pytest.approx(true, rel=1e-5)


def test_hooks_are_gone_after_due_steps_and_all_traces_at_the_end():
    model = Functional()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    vitals = torchvitals.watch(
        model, optimizer, reporters=[], schedule=Schedule(dense=1, every=1000), strict=True
    )
    for _ in range(3):
        model(torch.randn(4, 8)).sum().backward()
        optimizer.step()
        vitals.step(1.0)
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules() if m is not model]
    assert sum(hooks) == 0
    vitals.close()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_an_exception_in_the_forward_pass_leaves_the_tracer_ready_for_the_next():
    class Fragile(Functional):
        fail = True

        def forward(self, x):
            x = self.a(x)
            if self.fail:
                raise RuntimeError("mine")
            return self.b(self.act(x))

    model, keep = Fragile(), MemoryReporter()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torchvitals.watch(model, optimizer, reporters=[keep], strict=True) as vitals:
        with pytest.raises(RuntimeError, match="mine"):
            model(torch.randn(4, 8))
        model.fail = False
        model(torch.randn(4, 8)).sum().backward()
        optimizer.step()
        vitals.step(1.0)
    assert torch.overrides._get_current_function_mode() is None
    assert keep.snapshots[0]["activation"].names[-1] == "b"


def test_weight_gradients_of_a_bias_free_relu_stack_have_equal_products_with_their_weights():
    """<W, dL/dW> is the same in all layers: why TV201 does not use it."""
    torch.manual_seed(0)
    layers = [m for d in (8, 8, 8, 8) for m in (nn.Linear(d, 8, bias=False), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(8, 1, bias=False)).double()
    for i, p in enumerate(model.parameters()):
        p.data *= 1 + i
    model(torch.randn(64, 8).double()).square().mean().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    products = [float((p.detach() * g).sum()) for p, g in zip(model.parameters(), gradients, strict=True)]
    assert products == pytest.approx([products[0]] * len(products), rel=1e-9)


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
def test_what_computes_a_weight_is_no_site(norm):
    normed = getattr(nn.utils.parametrizations, norm)
    (snapshot,), _ = look(
        nn.Sequential(normed(nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 4)), torch.randn(4, 8)
    )
    assert snapshot["activation"].names == snapshot["activation_gradient"].names == ("0", "1", "2")


def test_passes_inside_of_function_transforms_are_left_out_and_that_is_said():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
    x = torch.randn(4, 8)

    def loss_fn(out):
        slopes = torch.func.vmap(torch.func.grad(lambda row: model(row).sum()))(x)
        return out.square().mean() + slopes.square().mean()

    (snapshot,), vitals = look(model, x, loss_fn=loss_fn)
    assert snapshot["activation"].names == ("0", "1", "2")
    assert "torch.func" in str(vitals.coverage)


def test_a_pre_hook_of_the_user_that_raises_costs_no_other_site():
    class Careful(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8)), nn.Linear(8, 1)

        def forward(self, x):
            x = self.a(x)
            try:
                x = self.b(x)
            except ValueError:
                x = x + 1
            return self.c(F.relu(x))

    def refuse(*_):
        raise ValueError("not today")

    model = Careful()
    model.b.register_forward_pre_hook(refuse)
    (snapshot,), _ = look(model, torch.randn(4, 8))
    assert snapshot["activation"].names == ("a", "relu", "c")


@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:The PyTorch API of nested")
def test_tensors_that_cannot_be_summed_up_are_passed_over():
    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(8, 4)

        def forward(self, neighbours, x):
            return neighbours @ F.relu(self.a(x))

    (snapshot,), _ = look(Graph(), torch.eye(6).to_sparse_csr(), torch.randn(6, 8))
    assert snapshot["input"].names == ("input",)
    ragged = torch.nested.nested_tensor([torch.randn(3, 8), torch.randn(5, 8)])
    model = nn.Sequential(nn.Linear(8, 4), nn.ReLU())
    look(model, ragged, loss_fn=lambda out: torch.nested.to_padded_tensor(out, 0.0).square().mean())
