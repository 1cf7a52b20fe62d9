"""Bounds on torch's threads: each Python thread has its own, and none outlives the last."""

from threading import Barrier, Event, Thread

import pytest
from samples import network, sample

from ensemble_1d.models.torch_threads import limited_threads

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def three_threads():
    """Let torch have three threads, which no bound of these tests asks for, in the meantime."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def in_new_thread(function):
    """Return what a function returns in a thread of its own."""
    found = []
    thread = Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join(timeout=60)
    return found[0]


def numbers():
    """Return the number in this thread, and what a new one starts with."""
    return torch.get_num_threads(), in_new_thread(torch.get_num_threads)


def test_bounds_nest():
    """An inner bound gives way to the outer one, and that to the number before, also after an error."""
    with limited_threads(torch, 2):
        with limited_threads(torch, 1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(RuntimeError), limited_threads(torch, 1):
            torch.zeros(2) @ torch.zeros(3)
        assert torch.get_num_threads() == 2
    assert numbers() == (3, 3)


@pytest.mark.parametrize("first_to_leave", ["first", "second"])
def test_bounds_that_overlap_leave_nothing_behind(first_to_leave):
    """Two threads keep their own bounds, whoever leaves first, and then the number before is back."""
    leave = {"first": Event(), "second": Event()}
    both_inside = Barrier(3, timeout=60)
    entered = {"first": Event(), "second": Event()}
    found = {}

    def work(name, n_threads):
        if name == "second":
            entered["first"].wait(60)
        with limited_threads(torch, n_threads):
            entered[name].set()
            both_inside.wait()
            inside = torch.get_num_threads()
            leave[name].wait(60)
            found[name] = inside, torch.get_num_threads()
        found[name] += (torch.get_num_threads(),)

    threads = {name: Thread(target=work, args=(name, n)) for name, n in (("first", 1), ("second", 2))}
    for thread in threads.values():
        thread.start()
    both_inside.wait()
    other = "second" if first_to_leave == "first" else "first"
    for name in (first_to_leave, other):
        leave[name].set()
        threads[name].join(timeout=60)
    assert found == {"first": (1, 1, 3), "second": (2, 2, 3)}
    assert numbers() == (3, 3)


def test_bound_beside_nested_ones_finds_the_number_outside():
    """A thread that comes after an inner bound has gone goes back to the number before the outer one."""

    def come_and_go():
        with limited_threads(torch, 1):
            pass
        return torch.get_num_threads()

    with limited_threads(torch, 2):
        with limited_threads(torch, 1):
            pass
        assert in_new_thread(come_and_go) == 3
        assert torch.get_num_threads() == 2
    assert numbers() == (3, 3)


def test_networks_fitted_at_once_leave_the_number_of_threads():
    """Fits in several threads equal those one after the other, and torch has the number of threads it had."""
    data = sample("binary")
    expected = network(random_state=0).fit(data.X, data.y).predict_proba(data.X)
    found = []
    threads = [
        Thread(target=lambda: found.append(network(random_state=0).fit(data.X, data.y).predict_proba(data.X)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [output.tobytes() for output in found] == [expected.tobytes()] * 4
    assert numbers() == (3, 3)
