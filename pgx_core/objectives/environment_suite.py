"""Suites of environments that bring their own observations, rewards and success."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pgx_core.environments.environment import Environment, Task
from pgx_core.objectives.objective import Suite, Term, check_names


@dataclass(frozen=True)
class EnvironmentSuite:
    """Variations of one environment, each an objective. Trained and reported as a robot's suite is.

    It has no robot, and so no contract: its policies are exported as plain networks, not as a bundle.
    """

    name: str
    environment: Environment
    objectives: tuple[Task, ...]
    held_out: tuple[Task, ...] = ()  # never trained on: for adaptation to unseen tasks
    steps: int = 500_000  # environment steps a method gets by default, over all its policies

    def __post_init__(self) -> None:
        check_names(self.name, self.names)
        check_names(self.name, (*self.names, *(task.name for task in self.held_out)))

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives' names in order."""
        return tuple(task.name for task in self.objectives)

    @property
    def episode_steps(self) -> int:
        """Steps in a full episode."""
        return self.environment.episode_steps

    @property
    def reports_success(self) -> bool:
        """Whether an episode can succeed, apart from its score."""
        return self.environment.reports_success

    @property
    def subject(self) -> str:
        """What acts."""
        return self.environment.name

    @property
    def files(self) -> tuple[Path, ...]:
        """Files it is made of."""
        return ()

    @property
    def trade_off(self) -> tuple[Term, ...]:
        """None: an environment tells one score, not what it is made of."""
        return ()

    def unseen(self) -> EnvironmentSuite:
        """The suite of its held-out tasks."""
        return replace(self, name=f"{self.name}_held_out", objectives=self.held_out, held_out=())


AnySuite = Suite | EnvironmentSuite
