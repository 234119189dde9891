"""What one training run is told: its settings and its seeds, checked before anything expensive starts.

No torch in here: the search checks thousands of configs with this module alone. Whether an encoder of a
given name exists only the model library knows, which takes seconds to import; that question has its own
function, `landslide.model.encoder_problems`, which is asked once before training.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landslide.errors import SettingsError

#: A pixel counts as landslide when its probability is at least this; every reported metric uses it.
REPORTING_THRESHOLD = 0.5

#: The names that a setting may take; a test holds them equal to the dicts that implement them.
ARCHITECTURE_NAMES = (
    "deeplabv3plus", "fpn", "linknet", "manet", "pspnet", "segformer", "unet", "unetplusplus", "upernet",
)  # fmt: skip
LOSS_NAMES = ("dice-bce", "dice-focal", "dice-lovasz", "dice-tversky")
SCHEDULER_NAMES = ("constant", "cosine", "cosine-decay", "one-cycle", "plateau")
AUGMENTATION_NAMES = ("dihedral", "none", "notes-clipped", "standard")

#: Schedulers that end with the run's last epoch: such a run cannot be continued with more epochs.
ENDING_SCHEDULERS = ("cosine-decay", "one-cycle")


@dataclass(frozen=True)
class _Name:
    """A text; one of `allowed` where given, and None where `optional`."""

    allowed: tuple[str, ...] = ()
    optional: bool = False

    def problem(self, value: Any) -> str | None:
        if value is None and self.optional:
            return None
        if not isinstance(value, str) or not value:
            return f"is {value!r} ({type(value).__name__}); allowed is a text{_or_none(self.optional)}"
        if self.allowed and value not in self.allowed:
            return f"is {value!r}; allowed are {', '.join(self.allowed)}{_did_you_mean(value, self.allowed)}"
        return None

    def plain(self, value: Any) -> Any:
        return None if value is None else str(value)


@dataclass(frozen=True)
class _Number:
    """A finite number of `kind` from `low` (excluded where `above`) to `high`, and None where `optional`."""

    kind: type[int] | type[float]
    low: float
    high: float
    above: bool = False
    optional: bool = False

    def problem(self, value: Any) -> str | None:
        if value is None and self.optional:
            return None
        # numbers: numpy's scalars count as well; they become Python's when the settings are made
        fits = isinstance(value, numbers.Integral if self.kind is int else numbers.Real)
        if isinstance(value, bool) or not fits:
            kind = "a whole number" if self.kind is int else "a number"
            return f"is {value!r} ({type(value).__name__}); allowed is {kind}{_or_none(self.optional)}"
        too_low = value <= self.low if self.above else value < self.low
        if too_low or value > self.high or not math.isfinite(value):
            lower = f"above {self.low:g}" if self.above else f"at least {self.low:g}"
            return f"is {value!r}; allowed is {lower} and at most {self.high:g}{_or_none(self.optional)}"
        return None

    def plain(self, value: Any) -> Any:
        return None if value is None else self.kind(value)


@dataclass(frozen=True)
class _Flag:
    """True or false."""

    def problem(self, value: Any) -> str | None:
        if isinstance(value, bool):
            return None
        return f"is {value!r} ({type(value).__name__}); allowed are true and false"

    def plain(self, value: Any) -> Any:
        return value


_RULES: dict[str, _Name | _Number | _Flag] = {
    "architecture": _Name(ARCHITECTURE_NAMES),
    "backbone": _Name(),
    "encoder_weights": _Name(optional=True),
    "loss": _Name(LOSS_NAMES),
    "lr": _Number(float, 0.0, 1.0, above=True),
    "weight_decay": _Number(float, 0.0, 1.0),
    "batch_size": _Number(int, 2, 4096),  # 2: batch normalisation learns nothing from one patch
    "max_pos_weight": _Number(float, 0.0, 10_000.0, above=True, optional=True),
    "scheduler": _Name(SCHEDULER_NAMES),
    "oversample": _Number(float, 1.0, 100.0),
    "augmentation": _Name(AUGMENTATION_NAMES),
    "patience": _Number(int, 1, 100_000),
    "epochs": _Number(int, 1, 100_000),
    "amp": _Flag(),
    "deterministic": _Flag(),
    "augmentation_strength": _Number(float, 0.0, 4.0),
    "clip_grad_norm": _Number(float, 0.0, 1e6, above=True, optional=True),
    "ema_decay": _Number(float, 0.0, 0.99999, above=True, optional=True),
}


@dataclass(frozen=True)
class TrainSettings:
    """The settings of one training run; the defaults are the recipe of the owner's training notes (Run 1).

    Attributes:
        architecture: decoder, one of `ARCHITECTURE_NAMES`.
        backbone: encoder by its name in segmentation_models_pytorch, or `tu-` and a timm name.
        encoder_weights: name of pretrained encoder weights ("imagenet"), or None for random initialisation.
        loss: one of `LOSS_NAMES`.
        lr: learning rate of AdamW at the start of the schedule, in (0, 1].
        weight_decay: decoupled weight decay of AdamW, in [0, 1].
        batch_size: patches per step, at least 2.
        max_pos_weight: upper bound of the weight of a landslide pixel in the cross-entropy, which otherwise
            is (other pixels) / (landslide pixels) of the training split; None leaves it unbounded. Only
            "dice-bce" uses it.
        scheduler: "cosine" (warm restarts, first after 20 epochs, each period twice the last), "cosine-decay"
            (one cosine down to 0 at `epochs`), "one-cycle" (up in the first 30 % of `epochs`, then down),
            "plateau" (halves after 5 epochs without a better validation IoU, not below 1e-6) or "constant".
            The two that end at `epochs` make it part of what the run is: a finished one cannot be extended.
        oversample: how many times as likely a patch with any landslide pixel is drawn as one without; 1 draws
            every patch exactly once per epoch, more than 1 draws with replacement.
        augmentation: one of `AUGMENTATION_NAMES`; see `landslide.augment`.
        patience: training ends after this many epochs without a better validation IoU.
        epochs: upper bound of the epochs.
        amp: mixed precision; acts on CUDA only. Cards that compute in bfloat16 use that instead of the
            float16 of the notes, because it needs no scaling of the loss and cannot overflow.
        deterministic: only operations with reproducible bits; acts on CUDA only (the CPU always has them).
            It costs time, and some architectures have no such operation, which ends the run at once.
        augmentation_strength: factor of the ranges of rotation, zoom, shift, elastic deformation and noise, in
            [0, 4]; flips, quarter turns and how often something happens stay.
        clip_grad_norm: gradients are scaled down to at most this norm (L2, over all weights) before each
            step, in (0, 1e6]; None leaves them alone.
        ema_decay: share of the old average in the new one, after each step, of a moving average of the
            weights, in (0, 0.99999]; 0.999 averages over about 1,000 steps. Validation and the checkpoint
            then use the average. None keeps no average.

    Raises:
        SettingsError: naming every value that is not allowed.
    """

    architecture: str = "unet"
    backbone: str = "resnet34"
    encoder_weights: str | None = None
    loss: str = "dice-bce"
    lr: float = 1e-4
    weight_decay: float = 1e-4
    batch_size: int = 16
    max_pos_weight: float | None = None
    scheduler: str = "cosine"
    oversample: float = 2.0
    augmentation: str = "standard"
    patience: int = 15
    epochs: int = 100
    amp: bool = True
    deterministic: bool = False
    augmentation_strength: float = 1.0
    clip_grad_norm: float | None = None
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        values = self.to_dict()
        if problems := _value_problems(values):
            raise SettingsError(problems)
        # 1 and 1.0 are the same setting, so they become the same value; a checkpoint can hold no numpy scalar
        for name, rule in _RULES.items():
            object.__setattr__(self, name, rule.plain(values[name]))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TrainSettings:
        """Settings from parsed YAML or JSON; what is not named keeps its default.

        Whole numbers are accepted where a number is asked for; `true` is not a number, and 16.0 is not a
        whole number.

        Raises:
            SettingsError: naming every unknown setting and every value that is not allowed, together.
        """
        names = ", ".join(_RULES)
        known = {name: value for name, value in values.items() if name in _RULES}
        problems = [
            f"there is no setting {name!r}; the settings are {names}{_did_you_mean(str(name), _RULES)}"
            for name in values
            if name not in _RULES
        ]
        problems += _value_problems(known)
        if problems:
            raise SettingsError(problems)
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """Every setting by name, as plain values; `from_mapping` of it gives equal settings."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Seeds:
    """Where the randomness of a run comes from; each is a whole number of at least 0.

    Attributes:
        init: initial weights, and what layers draw while training (dropout, stochastic depth).
        order: which patches an epoch draws and in which order.
        augment: what augmentation does to each drawn patch.

    Raises:
        SettingsError: naming every seed that is not a whole number of at least 0.
    """

    init: int
    order: int
    augment: int

    def __post_init__(self) -> None:
        rule = _Number(int, 0, 2**63 - 1)
        found = ((name, rule.problem(value)) for name, value in self.to_dict().items())
        if problems := [f"seed {name!r} {problem}" for name, problem in found if problem]:
            raise SettingsError(problems)
        for name, value in self.to_dict().items():
            object.__setattr__(self, name, int(value))

    @classmethod
    def of(cls, seed: int) -> Seeds:
        """The three seeds of a single run that is told one number."""
        return cls(init=seed, order=seed, augment=seed)

    def to_dict(self) -> dict[str, int]:
        """The three seeds by name."""
        return {"init": self.init, "order": self.order, "augment": self.augment}


def _value_problems(values: Mapping[str, Any]) -> list[str]:
    found = ((name, _RULES[name].problem(value)) for name, value in values.items())
    return [f"setting {name!r} {problem}" for name, problem in found if problem]


def _or_none(optional: bool) -> str:
    return ", or null for none" if optional else ""


def _did_you_mean(word: str, allowed: Sequence[str] | Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
