import hashlib

import numpy as np

from jaxgen.data.fingerprint import fingerprint

ARRAYS = {"image": np.arange(12, dtype=np.uint8).reshape(3, 2, 2), "label": np.array([0, 1, 2], np.int32)}


def test_by_hand():
    told = b"('image', '|u1', (3, 2, 2))" + bytes(range(12)) + b"('label', '<i4', (3,))" + b"\0\0\0\0\1\0\0\0\2\0\0\0"
    assert fingerprint(ARRAYS) == hashlib.sha256(told).hexdigest()


def test_neither_the_order_of_names_nor_the_layout_in_memory_counts():
    turned = {"label": ARRAYS["label"], "image": np.asfortranarray(ARRAYS["image"])}
    assert fingerprint(turned) == fingerprint(ARRAYS)


def test_every_change_counts():
    image, label = ARRAYS["image"], ARRAYS["label"]
    flipped = image.copy()
    flipped[2, 1, 1] ^= 1
    changed = [
        {"image": flipped, "label": label},
        {"image": image.reshape(3, 4), "label": label},
        {"image": image, "label": label.astype(np.int64)},
        {"image": image, "labels": label},
        {"image": image[::-1], "label": label},
        {"image": image},
        {"image": image[:0], "label": label[:0]},
    ]
    assert len({fingerprint(arrays) for arrays in [ARRAYS, *changed]}) == len(changed) + 1
