"""Models of TensorFlow Lite, run by LiteRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from patch_selection.saliency.map_files.model import as_map, model_invalid, picture_input
from patchsearch.errors import FailedPrecondition

_MAP_AXES = 2


class LiteRtRunner:
    """See `Runner`. Inputs beside the picture stay at their defaults.

    `output` names one of the model's outputs; empty: the first that is a map. Raises
    `FailedPrecondition` (EXTRA_MISSING) without LiteRT, `InvalidArgument` (SALIENCY_MODEL_INVALID).
    """

    def __init__(self, path: Path, output: str = "", threads: int = 2) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise FailedPrecondition(
                "EXTRA_MISSING", "LiteRT is not installed: pip install 'patchsearch[litert]'"
            ) from error
        self._file = path.name
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise model_invalid(self._file, str(error)) from error
        inputs = self._interpreter.get_input_details()
        place, self.picture = picture_input(
            [(one["shape"].tolist(), np.dtype(one["dtype"])) for one in inputs], self._file
        )
        self._input = inputs[place]["index"]
        outputs = self._interpreter.get_output_details()
        chosen = [
            one
            for one in outputs
            if (one["name"] == output if output else _axes(one["shape"]) == _MAP_AXES)
        ]
        if not chosen:
            names = ", ".join(one["name"] for one in outputs)
            raise model_invalid(self._file, f"its outputs are {names}, and {output or 'no map'}")
        self._output = chosen[0]["index"]

    def run(self, prepared: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """See `Runner`."""
        self._interpreter.set_tensor(self._input, prepared)
        self._interpreter.invoke()
        return as_map(self._interpreter.get_tensor(self._output), self._file)


def _axes(shape: npt.NDArray[Any]) -> int:
    return int(np.count_nonzero(np.asarray(shape) > 1))
