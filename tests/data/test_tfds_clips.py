"""A tiny set of videos, described as TFDS describes moving_mnist and ucf101: by a class that needs TensorFlow."""

import io
import json

import pytest
from PIL import Image

from jaxgen.data import tfds, tfds_clips
from jaxgen.data.heldout import split_indices
from jaxgen.errors import UserError

VIDEO = "tensorflow_datasets.core.features.video_feature.Video"


def png(value):
    file = io.BytesIO()
    Image.new("L", (4, 4), value).save(file, "PNG")
    file.seek(0)
    return file


@pytest.fixture
def prepare(cache):
    """Frame t of video i is all 10 i + t; it has 5 frames and the label i % 2."""

    def make(splits, name="video", label=False, as_video=True):
        library = tfds.library()
        features = {name: library.features.Sequence(library.features.Image(shape=(4, 4, 1)), length=5)}
        if label:
            features["label"] = library.features.ClassLabel(num_classes=2)

        class Films(library.core.GeneratorBasedBuilder, skip_registration=True):
            name = "films"
            VERSION = library.core.Version("1.0.0")

            def _info(self):
                described = library.features.FeaturesDict(features)
                return library.core.DatasetInfo(builder=self, features=described, disable_shuffling=True)

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(n) for split, n in splits.items()}

            def _generate_examples(self, n):
                for i in range(n):
                    example = {key: [png(10 * i + t) for t in range(5)] for key in features if key != "label"}
                    yield i, example | ({"label": i % 2} if label else {})

        with tfds.quiet():
            Films(data_dir=str(cache / "tfds")).download_and_prepare(file_format="array_record")
        directory = cache / "tfds" / "films" / "1.0.0"
        if as_video:
            file = directory / "features.json"
            tree = json.loads(file.read_text())
            video = {"shape": {"dimensions": ["5", "4", "4", "1"]}, "dtype": "uint8", "encodingFormat": "png"}
            tree["featuresDict"]["features"][name] = {"pythonClassName": VIDEO, "video": video}
            file.write_text(json.dumps(tree))
        return directory

    return make


@pytest.mark.parametrize("as_video", [True, False])
def test_the_first_frames_of_each(prepare, as_video):
    directory = prepare({"train": 3, "test": 2}, label=True, as_video=as_video)
    train = tfds_clips.read(directory, (3, 4, 4, 1), "train")
    assert train["image"].shape == (3, 3, 4, 4, 1)
    assert train["image"][:, :, 2, 2, 0].tolist() == [[0, 1, 2], [10, 11, 12], [20, 21, 22]]
    assert train["label"].tolist() == [0, 1, 0]
    assert len(tfds_clips.read(directory, (5, 4, 4, 1), "validation")["image"]) == 2
    assert tfds_clips.read(directory, (2, 2, 2, 3), "test")["image"].shape == (2, 2, 2, 2, 3)


def test_an_only_split_is_divided(prepare):
    """As moving_mnist, which has test data only."""
    directory = prepare({"test": 10}, name="image_sequence")
    for split in ("train", "test"):
        data = tfds_clips.read(directory, (2, 4, 4, 1), split)
        assert data.keys() == {"image"}
        assert data["image"][:, 0, 0, 0, 0].tolist() == (10 * split_indices(10, split, "")).tolist()


def test_videos_too_short(prepare):
    with pytest.raises(UserError, match="has 5 frames, fewer than the 6"):
        tfds_clips.read(prepare({"train": 2, "test": 2}), (6, 4, 4, 1), "train")


def test_a_set_of_images_has_no_videos(prepare_tiny):
    with pytest.raises(UserError, match="has no videos, only image, label"):
        tfds_clips.read(prepare_tiny({"train": 2, "test": 2}), (2, 4, 4, 1), "train")


def test_damaged_or_not_to_be_trusted(prepare):
    directory = prepare({"train": 2, "test": 2})
    text = (directory / "features.json").read_text()
    (directory / "features.json").write_text(text.replace(VIDEO, "antigravity.Video"))
    with pytest.raises(tfds.UnreadableError, match="could run foreign code"):
        tfds_clips.read(directory, (2, 4, 4, 1), "train")
    for broken in ("{", text.replace('"shape"', '"form"')):
        (directory / "features.json").write_text(broken)
        with pytest.raises(tfds.UnreadableError, match="prepare the set again"):
            tfds_clips.read(directory, (2, 4, 4, 1), "train")
