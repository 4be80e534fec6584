"""Who may listen to the forward passes of a model, and to what."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from torchvitals.probes.clock import Clock
from torchvitals.probes.follower import Follower

_FOLLOWERS: WeakKeyDictionary[Clock, Follower] = WeakKeyDictionary()


class Listener(Protocol):
    """Whoever is told of anything."""

    def failed(self, error: Exception) -> None:
        """Measuring raised; the user's forward pass goes on."""


class Sink(Listener, Protocol):
    """Whoever wants to know of sites: module calls and functional activations alike."""

    def before_activation(self, op: str, z: Tensor, unit_dim: int) -> Any:
        """An activation is about to run on pre-activation `z`, which it may overwrite."""
        ...

    def site(self, name: str, op: str, out: Tensor, before: Any) -> None:
        """A site gave `out`; `before` is what `before_activation` returned, or None."""


class LossSink(Listener, Protocol):
    """Whoever wants to know of calls of loss functions, inside of the model and between its passes."""

    def loss_call(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any
    ) -> None:
        """`func`, one of `activations.LOSSES`, was called with gradients on and gave `out`."""


class RootSink(Listener, Protocol):
    """Whoever wants to know of what is called from outside: the model, or children in its place."""

    def root_call(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any
    ) -> None:
        """A training forward pass of `module` gave `out`."""


class ModuleSink(Listener, Protocol):
    """Whoever wants to know of the calls of modules and of what they were given."""

    def module_call(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """`module` has run in a training forward pass."""


class Tracer:
    """Tells `sink` of what it can listen to (`Sink`, `LossSink`, `RootSink`, `ModuleSink`) in the training
    forward passes between `attach` and `detach`.

    All tracers of one subject, told by its clock, share one `Follower`: of several sets of hooks and modes
    each would see the others.
    """

    def __init__(self, sink: Listener, clock: Clock) -> None:
        self._sink, self._clock = sink, clock
        self._follower = _FOLLOWERS.setdefault(clock, Follower())

    def attach(self, modules: list[tuple[str, nn.Module]]) -> None:
        self._follower.attach(self._sink, modules, self._clock)

    def detach(self) -> None:
        self._follower.detach(self._sink)

    def close(self) -> None:
        """No tracer will be attached any more; called by each, and it counts when the last has detached."""
        self._follower.close()

    def release(self) -> None:
        """The backward pass is over: loss functions called from now on are none of this step's."""
        self._follower.release()

    @property
    def order(self) -> dict[str, None]:
        """paths of modules in the order of their first call"""
        return self._follower.order

    @property
    def ran(self) -> set[int]:
        """ids of the modules that ran with gradients on since the first tracer was attached"""
        return self._follower.ran

    @property
    def hooked(self) -> set[int]:
        """ids of the modules whose calls are seen: not those inside of compiled ones"""
        return self._follower.hooked()

    @property
    def notes(self) -> dict[str, None]:
        """sentences on what could not be seen"""
        return self._follower.notes

    @property
    def hidden(self) -> tuple[str, ...]:
        """paths of modules whose inside reentrant checkpointing runs without gradients"""
        hidden = self._follower.hidden
        return tuple(dict.fromkeys([*(path for path in self.order if path in hidden), *hidden]))

    def state(self) -> dict[str, Any]:
        """What the follower knows of the training, as plain values."""
        return self._follower.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._follower.restore(state)
