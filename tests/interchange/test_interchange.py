"""What the package gives, and what it takes to import it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from throughtime import interchange


def test_every_name_is_there() -> None:
    for name in interchange.__all__:
        assert callable(getattr(interchange, name))
    with pytest.raises(AttributeError, match="no attribute 'to_caffe'"):
        interchange.to_caffe  # noqa: B018


def test_weights_are_read_without_torch_and_onnx() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['onnx'] = sys.modules['onnxruntime'] = None\n"
        "import numpy as np, throughtime as tt\n"
        "weights = [np.ones((3, 20)), np.ones((5, 20)), np.ones(20)]\n"
        "imported = tt.interchange.from_keras(weights)\n"
        "again = tt.interchange.from_torch(tt.interchange.to_torch(imported))\n"
        "print(again.arguments()['cell'], again.tensors()['cells.0.weight_ih'].shape)\n"
        "try: again.build()\n"
        "except tt.errors.MissingExtraError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[0] == "lstm (20, 3)"
    assert "pip install 'torch" in result.stdout
