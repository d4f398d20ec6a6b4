"""Make the thumbnails of lessons/README.md from the committed notebooks: python lessons/pictures/make.py"""

import base64
import io
from pathlib import Path

from PIL import Image

from tinygan.lessons import all_lessons

SIZE = (240, 150)  # at most
WHICH = {7: 2, 8: 1, 9: 1, 10: 3, 11: 1}  # which figure stands for a lesson, if not its first: its place, from 0


def figures(notebook):
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            for kind, data in output.get("data", {}).items():
                if kind.startswith("image/"):
                    yield base64.b64decode("".join(data))


for lesson in all_lessons():
    found = list(figures(lesson.read()))
    with Image.open(io.BytesIO(found[WHICH.get(lesson.number, 0)])) as picture:
        picture.seek(getattr(picture, "n_frames", 1) - 1)  # of a film its end
        small = picture.convert("RGB")
        small.thumbnail(SIZE, Image.Resampling.LANCZOS)
        small.quantize(64).save(Path(__file__).parent / f"{lesson.number:02d}.png", optimize=True)
