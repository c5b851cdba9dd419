import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import torch
from torch import nn

from mcu_core import checkpoint
from mcu_core.types import State
from service.worker.model_store import ModelStore

KEY = {"data": "0" * 64, "seed": 1}


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(folder=tmp_path / "models")


def trained() -> State:
    return State(params={"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, buffers={})


def never() -> State:
    raise AssertionError("trained although it is in the store")


def interrupted() -> State:
    raise KeyboardInterrupt


def test_a_model_is_made_once(store: ModelStore) -> None:
    model = nn.Linear(3, 2)
    made = store.get(KEY, model, trained)
    again = store.get(dict(reversed(KEY.items())), model, never)
    assert checkpoint.digest(made) == checkpoint.digest(again) == checkpoint.digest(trained())


def test_another_key_is_another_model(store: ModelStore) -> None:
    model = nn.Linear(3, 2)
    calls: list[None] = []

    def counted() -> State:
        calls.append(None)
        return trained()

    for seed in (1, 2, 1):
        store.get({**KEY, "seed": seed}, model, counted)
    assert len(calls) == 2


def test_an_interrupted_training_leaves_no_model(store: ModelStore) -> None:
    model = nn.Linear(3, 2)
    with pytest.raises(KeyboardInterrupt):
        store.get(KEY, model, interrupted)
    assert checkpoint.digest(store.get(KEY, model, trained)) == checkpoint.digest(trained())


@pytest.mark.parametrize("suffix", ["safetensors", "sha256"])
def test_a_damaged_or_lost_file_is_made_again(suffix: str, store: ModelStore) -> None:
    model = nn.Linear(3, 2)
    store.get(KEY, model, trained)
    (path,) = store.folder.glob(f"*.{suffix}")
    intact = path.read_bytes()
    path.write_bytes(b"\xff" + intact[:-2])
    assert checkpoint.digest(store.get(KEY, model, trained)) == checkpoint.digest(trained())
    assert path.read_bytes() == intact
    path.unlink()
    assert checkpoint.digest(store.get(KEY, model, trained)) == checkpoint.digest(trained())
    assert path.read_bytes() == intact


@pytest.mark.parametrize("survived", [0, 1])
def test_a_kill_while_a_model_is_kept_costs_the_training_and_no_more(
    survived: int, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, syncs = nn.Linear(3, 2), iter(range(10))

    def killed(_file: int) -> None:
        if next(syncs) == survived:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            store.get(KEY, model, trained)
    assert not list(store.folder.glob("*.sha256"))
    assert checkpoint.digest(store.get(KEY, model, trained)) == checkpoint.digest(trained())


def test_an_empty_promise_is_none(store: ModelStore) -> None:
    model = nn.Linear(3, 2)
    store.get(KEY, model, trained)
    (promise,) = store.folder.glob("*.sha256")
    promise.write_bytes(b"")
    assert checkpoint.digest(store.get(KEY, model, trained)) == checkpoint.digest(trained())


def test_who_comes_while_a_model_is_made_waits_for_it(store: ModelStore) -> None:
    begun, may_end = Event(), Event()

    def slowly() -> State:
        begun.set()
        assert may_end.wait(60)
        return trained()

    def get(make: Callable[[], State]) -> State:
        return store.get(KEY, nn.Linear(3, 2), make)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(get, slowly)
        assert begun.wait(60)
        second = pool.submit(get, never)
        may_end.set()
        assert checkpoint.digest(first.result(60)) == checkpoint.digest(second.result(60))
