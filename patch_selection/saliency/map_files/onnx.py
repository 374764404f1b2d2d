"""Models of ONNX, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from patch_selection.saliency.map_files.model import as_map, model_invalid, picture_input
from patchsearch.errors import FailedPrecondition

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class OnnxRunner:
    """See `Runner`.

    `output` names one of the model's outputs; empty: the first. Raises `FailedPrecondition`
    (EXTRA_MISSING) without ONNX Runtime, `InvalidArgument` (SALIENCY_MODEL_INVALID).
    """

    def __init__(self, path: Path, output: str = "", threads: int = 2) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise FailedPrecondition(
                "EXTRA_MISSING", "ONNX Runtime is not installed: pip install 'patchsearch[onnx]'"
            ) from error
        self._file = path.name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # Its errors have no class in common but this one.
            raise model_invalid(self._file, str(error)) from error
        inputs = self._session.get_inputs()
        place, self.picture = picture_input(
            [(one.shape, np.dtype(_TYPES.get(one.type, np.float32))) for one in inputs], self._file
        )
        self._input = inputs[place].name
        names = [one.name for one in self._session.get_outputs()]
        if output and output not in names:
            raise model_invalid(self._file, f"its outputs are {', '.join(names)}, and not {output}")
        self._output = output or names[0]

    def run(self, prepared: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """See `Runner`."""
        (found,) = self._session.run([self._output], {self._input: prepared})
        return as_map(found, self._file)
