"""Students of a network, searched by reinforcement: layers are removed, then those of the best are shrunk.

    max over θ   E[R],   a ~ π_θ        ∇ ≈ 1/m Σ_k Σ_t ∇ log π_θ(a_t^k) (R_k − b)

    R = C (2 − C) · A / A_teacher,   C = 1 − #student / #teacher,   R = −1 where there is no smaller network

REINFORCE by Adam, m students to an update; b is the mean reward before the update, and of the first one its own. A
student that was tried before has its old accuracy, and costs nothing. Random search is the same with policies that
never learn: any action is as likely as the others.

All of it is a function of seed and rewards: from the students tried, policies are trained again in no time, so that a
state is no more than these, and a run that goes on ends as one that was not interrupted.

Source: Ashok, Rhinehart, Beainy & Kitani, "N2N learning: Network to Network Compression via Policy Gradient
Reinforcement Learning" (ICLR 2018); five students to an update are the authors' code's, which begins each student with
fresh weights, as is done here. Departures from that code: each student counts by its own reward, where it takes the
mean of the five for all of them; the first baseline is not 0; the rate of shrinkage is 0.03 and not 0.1.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, final

import torch
from torch import Tensor

from laconic import interrupts
from laconic.errors import DataError, PlanError
from laconic.models.params import Params
from laconic.models.states import job_text, read_state, require_same, write_state
from laconic.teachers.students.architecture import Architecture
from laconic.teachers.students.policy import (
    SHARES,
    Policy,
    Removal,
    Shrinkage,
    Uniform,
    drawn,
    initialized,
    log_probability,
)
from laconic.training.loop import derive_seed

Judge = Callable[[Architecture], tuple[float, Params]]
"""A student's architecture → accuracy after a proxy's training, from 0 to 1, and its weights."""

Method = Literal["policy", "random"]
METHODS: tuple[Method, ...] = ("policy", "random")
DEGENERATE = -1.0
_KIND, _WHAT = "students", "search of students"


@final
@dataclass(frozen=True)
class Effort:
    """How many students are tried, and how the policies learn.

    Args:
        removal: students of which layers are removed.
        shrinkage: students of which, of the best of these, layers are shrunk.
        rollouts: students to an update of a policy.
        removal_lr: learning rate of the first policy.
        shrinkage_lr: of the second.

    Raises:
        PlanError: for no students, or a rate that is none.
    """

    removal: int = 30
    shrinkage: int = 30
    rollouts: int = 5
    removal_lr: float = 0.003
    shrinkage_lr: float = 0.03

    def __post_init__(self) -> None:
        if min(self.removal, self.shrinkage) < 0 or self.rollouts < 1 or not self.students:
            raise PlanError("a search tries students: removal and shrinkage are 0 or more, rollouts 1 or more")
        if not (self.removal_lr > 0 and self.shrinkage_lr > 0):
            raise PlanError(f"learning rates are above 0, not {self.removal_lr} and {self.shrinkage_lr}")

    @property
    def students(self) -> int:
        """How many are tried in all."""
        return self.removal + self.shrinkage


@final
@dataclass(frozen=True)
class Tried:
    """A student.

    Args:
        actions: of the policy that made it, one for each row.
        architecture: what it is, as `Architecture.described` says.
        parameters: how many it has; None where no network has these rows.
        accuracy: from 0 to 1; None where it was not trained, being no smaller network.
        reward: R.
    """

    actions: tuple[int, ...]
    architecture: str
    parameters: int | None
    accuracy: float | None
    reward: float


@final
@dataclass(frozen=True, eq=False)
class Search:
    """What has been tried.

    Args:
        tried: students in order, those of removal first.
        weights: of the best.
        best: its architecture; None before there is one.
    """

    tried: tuple[Tried, ...] = ()
    weights: Params = field(default_factory=dict)
    best: Architecture | None = None

    @property
    def curve(self) -> list[float]:
        """The best reward after each student."""
        return [max(one.reward for one in self.tried[: count + 1]) for count in range(len(self.tried))]


def reward(parameters: int | None, accuracy: float | None, of: int, teacher: float) -> float:
    """Return R.

    >>> reward(50, 0.9, 100, 0.9), reward(100, 0.9, 100, 0.9)
    (0.75, -1.0)

    Args:
        parameters: of the student; None where there is no such network.
        accuracy: of it.
        of: parameters of the teacher.
        teacher: its accuracy.
    """
    if parameters is None or parameters >= of or accuracy is None:
        return DEGENERATE
    smaller = 1 - parameters / of
    return smaller * (2 - smaller) * accuracy / teacher


def search(
    teacher: Architecture,
    accuracy: float,
    judge: Judge,
    method: Method,
    how: Effort,
    seed: int,
    state: Search | None = None,
) -> Iterator[Search]:
    """Yield what has been tried after each student.

    Args:
        teacher: whose students they are.
        accuracy: of the teacher, above 0.
        judge: trains a student, the same for the same architecture.
        method: "policy" or "random".
        how: how many, and how policies learn.
        seed: of policies and actions.
        state: one that this generator has yielded, to go on from.

    Raises:
        PlanError: for another method.
        DataError: for a teacher without accuracy, or parameters, or a state of more students than are tried.
    """
    size = teacher.parameters
    if method not in METHODS:
        raise PlanError(f"students are searched by 'policy' or 'random', not by {method!r}")
    if not (size and math.isfinite(accuracy) and 0 < accuracy <= 1):
        raise DataError(f"rewards are shares of a teacher's accuracy, above 0 and at most 1, not of {accuracy}")
    found = state or Search()
    if len(found.tried) > how.students:
        raise DataError(f"the state has {len(found.tried)} students, of {how.students}; name more, or begin anew")
    begun, base = len(found.tried), teacher
    seen = {one.architecture: one for one in found.tried}
    for stage, (count, rate) in enumerate(((how.removal, how.removal_lr), (how.shrinkage, how.shrinkage_lr))):
        policy = _policy(method, stage, seed)
        learner = _Learner(policy, base, rate, how.rollouts)
        stage_best, first = (DEGENERATE, base), stage * how.removal
        for number in range(first, first + count):
            interrupts.check()
            if number < begun:
                one = found.tried[number]
                student = _student(base, stage, one.actions)
            else:
                own = derive_seed(seed, METHODS.index(method), stage, number)
                actions = drawn(policy, base.rows, torch.Generator().manual_seed(own))
                student = _student(base, stage, actions)
                one, weights = _tried(student, actions, size, accuracy, judge, seen)
                found = _with(found, one, weights, student)
                seen.setdefault(one.architecture, one)
            stage_best = max(stage_best, (one.reward, student), key=lambda pair: pair[0])
            learner.learn(one)
            if number >= begun:
                yield found
        base = stage_best[1]


def _policy(method: Method, stage: int, seed: int) -> Policy:
    """Return the policy of a stage before it has learned anything."""
    if method == "random":
        return Uniform(len(SHARES) if stage else 2)
    return initialized(Shrinkage() if stage else Removal(), derive_seed(seed, stage))


def _student(base: Architecture, stage: int, actions: tuple[int, ...]) -> Architecture:
    """Return what actions make of rows."""
    return base.shrunk([SHARES[action] for action in actions]) if stage else base.removed(actions)


def _tried(
    student: Architecture, actions: tuple[int, ...], of: int, teacher: float, judge: Judge, seen: Mapping[str, Tried]
) -> tuple[Tried, Params]:
    """Return a student, trained where it is a smaller network that nobody has tried, with its weights."""
    name, size, weights = student.described(), student.parameters, dict[str, Tensor]()
    known, right = seen.get(name), None
    if known is not None:
        right = known.accuracy
    elif size is not None and size < of:
        right, trained = judge(student)
        weights = dict(trained)
    return Tried(actions, name, size, right, reward(size, right, of, teacher)), weights


def _with(found: Search, one: Tried, weights: Params, student: Architecture) -> Search:
    """Return a search with one more student."""
    if weights and all(one.reward > other.reward for other in found.tried):
        return Search((*found.tried, one), weights, student)
    return replace(found, tried=(*found.tried, one))


@final
class _Learner:
    """A policy that learns, `rollouts` students at a time."""

    def __init__(self, policy: Policy, base: Architecture, rate: float, rollouts: int) -> None:
        self.policy, self.base, self.rollouts = policy, base, rollouts
        weights = list(policy.parameters())
        self.optimizer = torch.optim.Adam(weights, rate) if weights else None
        self.batch, self.rewards = list[Tried](), list[float]()

    def learn(self, one: Tried) -> None:
        """Take a student in; update the policy once there are enough of them."""
        self.batch.append(one)
        if self.optimizer is None or len(self.batch) < self.rollouts:
            return
        own = [tried.reward for tried in self.batch]
        before = self.rewards or own
        baseline = sum(before) / len(before)
        logs = [log_probability(self.policy, self.base.rows, tried.actions) for tried in self.batch]
        gained = torch.tensor([reward_ - baseline for reward_ in own], dtype=torch.float32)
        self.optimizer.zero_grad()
        (-(gained * torch.stack(logs)).mean()).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.rewards += own
        self.batch = []


def save_search(path: Path, found: Search, job: Mapping[str, str]) -> None:
    """Write a state to ``path``, all or nothing; it belongs to ``job``."""
    tensors = {f"actions/{number}": torch.tensor(one.actions) for number, one in enumerate(found.tried)}
    missing = [one.parameters if one.parameters is not None else -1 for one in found.tried]
    tensors["parameters"] = torch.tensor(missing, dtype=torch.int64)
    for key in ("accuracy", "reward"):
        values = [getattr(one, key) for one in found.tried]
        tensors[key] = torch.tensor([math.nan if one is None else one for one in values], dtype=torch.float64)
    tensors |= {f"best/{name}": tensor for name, tensor in found.weights.items()}
    write_state(path, _KIND, tensors, {"job": job_text(job)})


def load_search(path: Path, teacher: Architecture, how: Effort, job: Mapping[str, str]) -> Search:
    """Return the state at ``path``.

    Raises:
        DataError: when it is missing, damaged, or of another job.
    """
    tensors, metadata = read_state(path, _KIND, _WHAT)
    require_same(path, metadata["job"], job)
    weights = {name.removeprefix("best/"): one for name, one in tensors.items() if name.startswith("best/")}
    tried, base, best = list[Tried](), teacher, None
    for number, size in enumerate(tensors["parameters"].tolist()):
        if number == how.removal and tried:
            top = max(range(number), key=lambda place: (tried[place].reward, -place))
            base = base.removed(tried[top].actions) if tried[top].reward > DEGENERATE else base
        actions, right = tuple(tensors[f"actions/{number}"].tolist()), float(tensors["accuracy"][number])
        student, got = _student(base, int(number >= how.removal), actions), float(tensors["reward"][number])
        if got > max((one.reward for one in tried), default=DEGENERATE):
            best = student
        known = None if math.isnan(right) else right
        tried.append(Tried(actions, student.described(), None if size < 0 else size, known, got))
    return Search(tuple(tried), weights, best)
