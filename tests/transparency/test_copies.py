"""Copies, files and averages of what is watched: they work as without us, and are not watched."""

import copy
import io
import multiprocessing
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.transparency.twins import loop, twins


def net():
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def step_of(model, opt, scale=1.0):
    x = torch.randn(16, 8)
    opt.zero_grad()
    loss = F.cross_entropy(model(x * scale), x[:, :3].argmax(1))
    loss.backward()
    opt.step()
    return loss


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "save": saved,
}


@pytest.mark.parametrize("way", COPIES)
def test_a_copied_model_with_a_copied_optimizer_is_not_watched(way):
    """Were its passes heard, inputs a million times larger would show, and steps of its optimizer count."""

    def train(watch):
        model = net()
        opt = torch.optim.Adam(model.parameters(), lr=1e-2)
        twin, other = model, opt
        with watch(model, opt) as vitals:
            for i in range(6):
                if i == 3:
                    twin, old = COPIES[way]((model, opt))
                    other = torch.optim.Adam(twin.parameters(), lr=1e-2)
                    other.load_state_dict(old.state_dict())
                    for _ in range(3):
                        step_of(twin, other, 1e6)
                        old.step()
                loop(lambda _: step_of(model, opt), vitals, 1)
        return model, opt, twin, other

    seen = twins(train)
    assert len(seen.snapshots) == 6
    assert max(float(s["input"]["abs_max"].max()) for s in seen.snapshots) < 100
    assert [s["activation"]["count"][0] for s in seen.snapshots] == [256] * 6


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.LBFGS])
def test_a_pickled_optimizer_holds_nothing_of_ours(kind):
    model = net()
    opt = kind(model.parameters(), lr=1e-2)
    bare = pickle.dumps(opt)

    def train(watch):
        with watch(model, opt):
            return pickle.dumps(opt), pickle.dumps(opt.state_dict())

    seen = twins(train)
    assert seen.result[0] == bare
    assert b"torchvitals" not in seen.result[0] + seen.result[1]
    twin = pickle.loads(seen.result[0])
    assert not twin._optimizer_step_pre_hooks
    assert not copy.deepcopy(opt)._optimizer_step_post_hooks


def test_state_is_saved_and_loaded_in_the_middle_of_a_watched_training():
    def train(watch):
        model = net()
        opt = torch.optim.Adam(model.parameters(), lr=1e-2)
        with watch(model, opt) as vitals:
            loop(lambda _: step_of(model, opt), vitals, 4)
            kept = saved({"model": model.state_dict(), "optimizer": opt.state_dict()})
            loop(lambda _: step_of(model, opt), vitals, 4)
            model.load_state_dict(kept["model"])
            opt.load_state_dict(kept["optimizer"])
            loop(lambda _: step_of(model, opt), vitals, 4)
        return model, opt, list(kept["model"])

    seen = twins(train)
    assert len(seen.snapshots) == 12
    assert seen.result[-1] == list(net().state_dict())
    assert seen.alarms == []


@pytest.mark.parametrize("made", ["before", "while"])
def test_averages_of_the_weights(made):
    def train(watch):
        model = net()
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9)) if made == "before" else None
        with watch(model, opt) as vitals:
            average = average or AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))

            def step(_):
                loss = step_of(model, opt)
                average.update_parameters(model)
                with torch.no_grad():
                    average(torch.randn(16, 8) * 1e6)
                return loss

            loop(step, vitals, 8)
        return model, opt, average

    seen = twins(train)
    assert [s["activation"]["count"][0] for s in seen.snapshots] == [256] * 8
    assert max(float(s["input"]["abs_max"].max()) for s in seen.snapshots) < 100
    assert seen.alarms == []


def test_shared_memory():
    def train(watch):
        model = net()
        model.share_memory()
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        with watch(model, opt) as vitals:
            loop(lambda _: step_of(model, opt), vitals, 4)
            model.share_memory()
            loop(lambda _: step_of(model, opt), vitals, 4)
        return model, opt, all(p.is_shared() for p in model.parameters())

    assert twins(train).result[-1]


def _evaluate(model, given, answer):
    answer.put(model(given).detach().numpy())


def test_a_watched_model_goes_to_another_process():
    def train(watch):
        model = net()
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        with watch(model, opt) as vitals:
            loop(lambda _: step_of(model, opt), vitals, 2)
            context = multiprocessing.get_context("fork")
            answer = context.SimpleQueue()
            process = context.Process(target=_evaluate, args=(model, torch.ones(4, 8), answer))
            process.start()
            given = answer.get()
            process.join(20)
            loop(lambda _: step_of(model, opt), vitals, 2)
        return model, opt, str(given)

    seen = twins(train)
    assert len(seen.snapshots) == 4


def test_a_watched_model_is_exported():
    def train(watch):
        model = net()
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        with watch(model, opt) as vitals:
            loop(lambda _: step_of(model, opt), vitals, 2)
            model.eval()
            exported = torch.export.export(model, (torch.ones(4, 8),))
            given = exported.module()(torch.ones(4, 8))
            model.train()
            loop(lambda _: step_of(model, opt), vitals, 2)
        return model, opt, given

    seen = twins(train)
    assert len(seen.snapshots) == 4
