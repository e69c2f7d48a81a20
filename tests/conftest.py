"""Tiny models that many tests share, built once a session."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from model_builders import VOCAB, build_model, write_header_model

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tests that were started in the background may have been told to ignore Ctrl-C, and what they
# start would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)

ALIASES = ("base", "a", "b", "c")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hashes and grammars of the tests stay out of the user's cache."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Path]]:
    """``tiny_models("llama")``: alias to folder of a base and three fine-tunes of it."""
    root = tmp_path_factory.mktemp("models")
    built: dict[str, dict[str, Path]] = {}

    def get(kind: str) -> dict[str, Path]:
        if kind not in built:
            base = build_model(root / kind / "base", kind, 0)
            family = {"base": base}
            for seed, alias in enumerate(ALIASES[1:], start=1):
                family[alias] = build_model(root / kind / alias, kind, seed, base=base)
            built[kind] = family
        return built[kind]

    return get


@pytest.fixture(scope="session")
def unequal_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Qwen2 models that differ in what a merge cannot average."""
    root = tmp_path_factory.mktemp("unequal")
    return {
        "tied": build_model(root / "tied", "qwen2", 0),
        "untied": build_model(root / "untied", "qwen2", 1, tie_word_embeddings=False),
        "rope": build_model(root / "rope", "qwen2", 2, rope_theta=1e6),
        "eps": build_model(root / "eps", "qwen2", 3, rms_norm_eps=1e-5),
        "vocab": build_model(root / "vocab", "qwen2", 4, vocab_size=VOCAB + 8),
        "chat": build_model(root / "chat", "qwen2", 5, chat_template="{{ messages[0].content }}"),
    }


@pytest.fixture(scope="session")
def header_models(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Folders of header-only models: ``base``, ``a``, ``b``, ``c``, and ``root`` above them."""
    root = tmp_path_factory.mktemp("headers")
    folders = {alias: write_header_model(root / alias) for alias in ALIASES}
    return SimpleNamespace(root=root, **folders)
