"""Memory is kept where the C library can do so."""

from __future__ import annotations

from dcgan_probe.training import cpu


def test_keeping_memory_is_no_error_on_any_c_library(monkeypatch):
    monkeypatch.setattr(cpu.ctypes, "CDLL", lambda name: object())
    cpu.keep_memory()
