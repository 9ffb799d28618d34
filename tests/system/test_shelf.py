"""What processes make once: sealed, the same for all, and gone with them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mglubench.system import shelf as shelves
from mglubench.system.shelf import Keeper, Shelf, is_sealed

TABLE = np.arange(12.0).reshape(3, 4)


def never():
    raise AssertionError("made again")


@pytest.fixture
def keeper():
    keeper = Keeper(1 << 20)
    yield keeper
    keeper.close()


def handed_over(keeper, *shelves, name="table", make=TABLE.copy):
    """Arrays that shelves have of one name, one after the other, as processes would ask."""
    found = []
    for shelf in shelves:
        shelf.offer(keeper.where())
        found.append(shelf.array(name, make))
        keeper.take(os.getpid(), shelf.made())
        make = never
    return found


def test_what_one_has_made_the_others_read(keeper):
    for array in handed_over(keeper, Shelf(), Shelf(), Shelf()):
        np.testing.assert_array_equal(array, TABLE)
        assert (array.dtype, array.shape) == (TABLE.dtype, TABLE.shape)


def test_an_array_outlives_who_made_it_and_who_kept_it(keeper):
    first, second = Shelf(), Shelf()
    (_, array) = handed_over(keeper, first, second)
    first.offer({})
    keeper.close()
    np.testing.assert_array_equal(array, TABLE)


def test_it_is_made_once_by_one_process_that_asks_twice():
    shelf = Shelf()
    shelf.array("one", TABLE.copy)
    np.testing.assert_array_equal(shelf.array("one", never), TABLE)


def test_nobody_can_write_it_any_more(keeper):
    (array,) = handed_over(keeper, Shelf())
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    (path,) = keeper.where().values()
    with pytest.raises(PermissionError), Path(path).open("r+b", buffering=0) as file:
        file.write(b"1")
    np.testing.assert_array_equal(array, TABLE)


@pytest.mark.parametrize("made", [{"b": -1}, {"b": "x"}, {"b": None}, ["b"], "b", None])
def test_a_descriptor_that_is_none_is_left_alone(keeper, made):
    keeper.take(os.getpid(), made)
    assert keeper.where() == {}


def test_memory_that_is_not_sealed_is_neither_kept_nor_read(keeper):
    descriptor = os.memfd_create("open", os.MFD_ALLOW_SEALING)
    with os.fdopen(descriptor, "r+b") as file:
        np.save(file, TABLE + 1)
        file.flush()
        assert not is_sealed(descriptor)
        keeper.take(os.getpid(), {"table": descriptor})
        assert keeper.where() == {}
        shelf = Shelf()
        shelf.offer({"table": f"/proc/self/fd/{descriptor}"})
        np.testing.assert_array_equal(shelf.array("table", TABLE.copy), TABLE)


def test_without_such_memory_the_array_is_this_processs_own(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    shelf = Shelf()
    array = shelf.array("table", TABLE.copy)
    np.testing.assert_array_equal(array, TABLE)
    assert not array.flags.writeable
    assert shelf.made() == {}


def test_what_came_first_goes_first_where_there_is_no_room():
    large = np.zeros(1000)
    keeper = Keeper(round(2.5 * large.nbytes))
    for name in "abc":
        handed_over(keeper, Shelf(), name=name, make=large.copy)
    assert list(keeper.where()) == ["b", "c"]
    handed_over(keeper, Shelf(), name="larger", make=lambda: np.zeros(3000))
    assert keeper.where() == {}


def test_no_more_descriptors_are_held_than_a_process_can_spare(keeper, monkeypatch):
    monkeypatch.setattr(shelves, "MOST_ARRAYS", 3)
    for number in range(5):
        handed_over(keeper, Shelf(), name=f"{number}")
    assert list(keeper.where()) == ["2", "3", "4"]
