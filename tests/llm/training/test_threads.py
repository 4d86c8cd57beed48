"""The number of threads follows what steps really take, and what else the machine does."""

from __future__ import annotations

import torch

from llm.training.threads import UNKNOWN, ThreadTuner

CPU = torch.device("cpu")
# Seconds a step takes with a number of threads, alone on four cores and beside other programs.
QUIET = {1: 4.0, 2: 2.1, 4: 1.2}
BUSY = {1: 5.0, 2: 8.0, 4: 40.0}


class Machine:
    """A clock that steps move on, and the numbers of threads that were set."""

    def __init__(self) -> None:
        self.now = 0.0
        self.set: list[int] = []
        self.seconds = QUIET

    def tuner(
        self, fixed: int = 0, known: tuple[int, float] = UNKNOWN, device: torch.device = CPU
    ) -> ThreadTuner:
        return ThreadTuner(device, fixed, known, 4, self.set.append, lambda: self.now)

    def work(self, tuner: ThreadTuner, pieces: int) -> float:
        """Seconds the pieces took."""
        began = self.now
        for _ in range(pieces):
            with tuner.timed(1.0):
                self.now += self.seconds[tuner.threads]
        return self.now - began


def test_alone_all_cores_are_used() -> None:
    machine = Machine()
    tuner = machine.tuner()
    assert tuner.threads == 4
    machine.work(tuner, 12)
    assert tuner.threads == 4
    assert set(machine.set) == {1, 2, 4}
    tried = list(machine.set)
    machine.work(tuner, 400)
    assert machine.set == tried  # a steady rate is left alone


def test_beside_others_fewer_are_and_the_search_is_short() -> None:
    machine = Machine()
    machine.seconds = BUSY
    tuner = machine.tuner()
    spent = machine.work(tuner, 12)
    assert tuner.threads == 1
    assert spent < 4 * 40 + 4 * 8 + 12 * 5


def test_a_rate_that_falls_to_half_starts_a_search() -> None:
    machine = Machine()
    tuner = machine.tuner()
    machine.work(tuner, 30)
    assert tuner.threads == 4
    machine.seconds = BUSY
    machine.work(tuner, 15)
    assert tuner.threads == 1


def test_more_are_tried_again_after_a_while() -> None:
    machine = Machine()
    machine.seconds = BUSY
    tuner = machine.tuner()
    machine.work(tuner, 20)
    machine.seconds = QUIET
    machine.work(tuner, 60)
    assert tuner.threads == 4


def test_a_neighbour_of_a_moment_costs_little() -> None:
    machine = Machine()
    machine.seconds = {number: seconds / 20 for number, seconds in BUSY.items()}
    tuner = machine.tuner()
    while tuner.found == UNKNOWN:
        machine.work(tuner, 1)
    assert tuner.threads == 1
    machine.seconds = {number: seconds / 20 for number, seconds in QUIET.items()}
    began = machine.now
    while tuner.threads != 4 or tuner.found[0] != 4:
        machine.work(tuner, 1)
    assert machine.now - began < 20


def test_looks_at_more_threads_that_are_no_better_become_rare() -> None:
    machine = Machine()
    machine.seconds = {1: 0.20, 2: 0.25, 4: 0.35}  # nowhere hopeless
    tuner = machine.tuner()
    machine.work(tuner, 40)
    assert tuner.threads == 1
    machine.set.clear()
    spent = machine.work(tuner, 3000)
    looks = machine.set.count(4)
    assert 600 < spent < 1.03 * 3000 * 0.20
    assert 5 <= looks <= 10  # 10, 20, 40, 80, 120, 120 ... seconds after each other


def test_a_first_piece_that_compiles_is_no_measure() -> None:
    machine = Machine()
    tuner = machine.tuner()
    tuner.done(1.0, 60.0)
    machine.work(tuner, 12)
    assert tuner.threads == 4


def test_what_was_found_is_gone_on_with() -> None:
    machine = Machine()
    first = machine.tuner()
    assert first.found == UNKNOWN, "a checkpoint amid the first search says nothing"
    machine.work(first, 12)
    assert first.found == (4, 1 / QUIET[4])
    machine.set.clear()
    tuner = machine.tuner(known=first.found)
    machine.work(tuner, 50)
    assert set(machine.set) == {4}
    assert tuner.found == first.found
    machine.seconds = BUSY
    machine.work(tuner, 20)
    assert tuner.threads == 1


def test_what_was_found_on_a_quiet_machine_is_not_kept_on_a_busy_one() -> None:
    machine = Machine()
    machine.seconds = BUSY
    tuner = machine.tuner(known=(4, 1 / QUIET[4]))
    machine.work(tuner, 20)
    assert tuner.threads == 1


def test_a_number_without_a_rate_or_of_a_larger_machine_is_searched_for() -> None:
    for known in ((2, 0.0), (64, 9.0)):
        machine = Machine()
        tuner = machine.tuner(known=known)
        machine.work(tuner, 12)
        assert set(machine.set) == {1, 2, 4}


def test_amid_a_later_search_the_number_found_before_counts() -> None:
    machine = Machine()
    tuner = machine.tuner()
    machine.work(tuner, 30)
    machine.seconds = BUSY
    machine.work(tuner, 5)
    machine.work(tuner, 2)
    assert tuner.threads != 4
    assert tuner.found[0] == 4


def test_the_number_in_force_can_be_set_again() -> None:
    machine = Machine()
    tuner = machine.tuner(fixed=3)
    machine.tuner(fixed=1)
    tuner.enforce()
    assert machine.set == [3, 1, 3]


def test_a_fixed_number_stays() -> None:
    machine = Machine()
    machine.seconds = {**BUSY, 3: 100.0}
    tuner = machine.tuner(fixed=3)
    machine.work(tuner, 50)
    assert machine.set == [3]


def test_on_a_gpu_nothing_is_tried() -> None:
    machine = Machine()
    tuner = machine.tuner(device=torch.device("cuda"))
    machine.work(tuner, 50)
    assert machine.set == [4]


def test_pieces_of_unequal_size_are_compared_by_rate() -> None:
    machine = Machine()
    tuner = machine.tuner()
    for size in (1, 9, 3, 7, 2, 8, 1, 5, 4, 6, 2, 3, 8, 1, 9):
        with tuner.timed(float(size)):
            machine.now += size * QUIET[tuner.threads]
    assert tuner.threads == 4
