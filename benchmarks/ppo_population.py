"""Six policies as one population against the same six one after another: wall time, and where it goes."""

from __future__ import annotations

import cProfile
import pstats
import time
from statistics import median

from ppo_peers import our_trainer

from pgx_core.learning.layout import Member
from pgx_core.learning.trainer import Trainer
from pgx_core.objectives.suites import SIGNS

WORLDS_EACH, TURN, REPEATS, PROFILED = 32, 4, 5, 6
# What each part is called in the profile; its own share is its time less that of the next.
PARTS = {"learning": "update", "acting": "collect", "rewards, observations, resets": "step", "physics": "rollout"}


def measure_population() -> dict[str, float]:
    """Medians over interleaved turns; the speedup is of wall time for the same steps of every policy."""
    members = tuple(Member((i,), False, WORLDS_EACH) for i in range(len(SIGNS.objectives)))
    together = our_trainer(SIGNS, members, 1_000, seed=0)
    alone = [our_trainer(SIGNS, (member,), 1_000, seed=0) for member in members]
    groups: dict[str, list[Trainer]] = {"population": [together], "sequence": alone}
    wall: dict[str, list[float]] = {name: [] for name in groups}
    processor: dict[str, list[float]] = {name: [] for name in groups}
    for _ in range(REPEATS + 1):
        for name, trainers in groups.items():
            began, spent = time.perf_counter(), time.process_time()
            _iterate(trainers, TURN)
            wall[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - spent)
    seconds = {name: median(each[1:]) / TURN for name, each in wall.items()}  # the first turn warms up
    work = {name: median(each[1:]) / TURN for name, each in processor.items()}
    figures = {
        "population_speedup": seconds["sequence"] / seconds["population"],
        "population_processor_speedup": work["sequence"] / work["population"],
    }
    print(f"\n{len(members)} policies of {WORLDS_EACH} worlds each, ms per iteration of all of them")
    print(f"population {1e3 * seconds['population']:.0f}, one after another {1e3 * seconds['sequence']:.0f}")
    for name, figure in figures.items():
        print(f"{name:34} {figure:.2f}")
    _show_parts({name: _profile(trainers) for name, trainers in groups.items()})
    return figures


def _iterate(trainers: list[Trainer], iterations: int) -> None:
    for trainer in trainers:
        for _ in range(iterations):
            trainer.iterate()


def _profile(trainers: list[Trainer]) -> dict[str, float]:
    """Seconds per iteration of all policies, by part."""
    profile = cProfile.Profile()
    profile.runcall(_iterate, trainers, PROFILED)
    total = dict.fromkeys(PARTS, 0.0)
    for (file, _, function), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        for part, name in PARTS.items():
            where = {"update": "ppo.py", "collect": "trainer.py", "step": "simulation.py"}.get(name, "~")
            if file.endswith(where) and (function == name or (where == "~" and "_rollout.rollout" in function)):
                total[part] += cumulative / PROFILED
    learning, acting, step, physics = total.values()
    return dict(zip(PARTS, (learning, acting - step, step - physics, physics), strict=True))


def _show_parts(parts: dict[str, dict[str, float]]) -> None:
    population, sequence = parts["population"], parts["sequence"]
    print("\nwhere it goes (ms per iteration of all policies, under a profiler)")
    print("| part | population | one after another | ratio |\n|---|---|---|---|")
    for part in PARTS:
        ratio = sequence[part] / population[part]
        print(f"| {part} | {1e3 * population[part]:.0f} | {1e3 * sequence[part]:.0f} | {ratio:.2f} |")
    share = population["physics"] / sum(population.values())
    saved = {part: sequence[part] - population[part] for part in PARTS}
    print(f"Physics is the same arithmetic either way, and {share:.0%} of the population's time: it bounds the gain.")
    print(f"Most time is saved in {max(saved, key=lambda part: saved[part])}: fewer and larger calls.")


if __name__ == "__main__":
    measure_population()
