"""Where do tests of the terminal interface keep what it remembers? In a folder of their own."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
