"""Actions by one frame of each clip: the paper's protocol for UCF101 and Kinetics (appendix E.3).

A clip is a folder of frames. The one in the middle stands for it, a classifier of pictures decides,
and Kinetics is scored by `wordsight.metrics.mean_top1_top5`.
"""

from collections.abc import Sequence
from pathlib import Path

from wordsight.errors import InputError
from wordsight.images import find_images


def middle_frame(frames: Sequence[Path]) -> Path:
    """Return the middle one of frames in order; of an even number the earlier of the two.

    Raises:
        InputError: if there are none.
    """
    if not frames:
        raise InputError("the clip has no frames")
    return frames[(len(frames) - 1) // 2]


def middle_frames(folder: Path) -> dict[str, Path]:
    """Return the middle frame of every clip below a folder, by the clip's path within it.

    A clip is any folder that holds pictures itself; frames are ordered by name with numbers by
    value, so `frame10.jpg` comes after `frame9.jpg`.

    Raises:
        InputError: if there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder", hint="give the folder of the clips")
    clips: dict[Path, list[Path]] = {}
    for path in find_images([str(folder)]):
        clips.setdefault(path.parent, []).append(path)
    return {
        clip.relative_to(folder).as_posix(): middle_frame(frames) for clip, frames in clips.items()
    }
