"""The teacher: a fixation model trained on SALICON, as a TensorFlow Lite file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from patchsearch.errors import InvalidArgument

WIDTH, HEIGHT = 640, 480
MAP_SIDE = 256
_LOGITS = "Sum"


class Teacher:
    """The attention-center model (Apache-2.0) with its map of logits as an output.

    One picture at a time, on one thread. Not to be shared between threads. Raises
    `InvalidArgument` (TEACHER_INVALID) where the file or its runtime is missing or is another one.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise InvalidArgument(
                "TEACHER_INVALID", f"the teacher needs ai-edge-litert ({error}); install it"
            ) from error
        if not path.is_file():
            raise InvalidArgument("TEACHER_INVALID", f"no model at {path}")
        self._interpreter = Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        inputs = [d for d in self._interpreter.get_input_details() if len(d["shape"]) == 4]
        outputs = {d["name"]: d for d in self._interpreter.get_output_details()}
        if len(inputs) != 1 or _LOGITS not in outputs:
            raise InvalidArgument(
                "TEACHER_INVALID", f"{path} has no picture input or no output {_LOGITS!r}"
            )
        self._input = inputs[0]["index"]
        self._output = outputs[_LOGITS]["index"]

    def logits(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The map of logits over the whole picture: (256, 256) float32.

        `image` is (height, width, 3) uint8 RGB; it is letterboxed to 640 x 480 with its shape kept,
        and the map of the padding is cut off.
        """
        height, width = image.shape[:2]
        scale = min(WIDTH / width, HEIGHT / height)
        columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        left, top = (WIDTH - columns) // 2, (HEIGHT - rows) // 2
        canvas = np.zeros((1, HEIGHT, WIDTH, 3), dtype=np.float32)
        canvas[0, top : top + rows, left : left + columns] = (
            cv2.resize(image, (columns, rows), interpolation=how).astype(np.float32) / 255
        )
        self._interpreter.set_tensor(self._input, canvas)
        self._interpreter.invoke()
        full = self._interpreter.get_tensor(self._output)[0]
        inside = np.ascontiguousarray(full[top : top + rows, left : left + columns])
        how = cv2.INTER_AREA if min(rows, columns) >= MAP_SIDE else cv2.INTER_LINEAR
        return np.asarray(
            cv2.resize(inside, (MAP_SIDE, MAP_SIDE), interpolation=how), dtype=np.float32
        )
