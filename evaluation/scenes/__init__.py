"""Street scenes drawn from a seed, with everything that is in them known."""

from evaluation.scenes.compose import generate_scene
from evaluation.scenes.dataset import write_scenes
from evaluation.scenes.model import CATEGORIES, TARGET_CLASSES, Scene, SceneObject
from evaluation.scenes.styles import HELDOUT_STYLES, TRAINING_STYLES

__all__ = [
    "CATEGORIES",
    "HELDOUT_STYLES",
    "TARGET_CLASSES",
    "TRAINING_STYLES",
    "Scene",
    "SceneObject",
    "generate_scene",
    "write_scenes",
]
