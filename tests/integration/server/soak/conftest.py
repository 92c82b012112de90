"""Makes the modules beside this file importable, in the order in which they need each other."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

for _name in ("processes", "raw_http", "payloads", "callers", "mix"):
    if f"soak_{_name}" not in sys.modules:
        _spec = importlib.util.spec_from_file_location(
            f"soak_{_name}", Path(__file__).with_name(f"{_name}.py")
        )
        assert _spec is not None
        assert _spec.loader is not None
        _module = importlib.util.module_from_spec(_spec)
        sys.modules[f"soak_{_name}"] = _module
        _spec.loader.exec_module(_module)
