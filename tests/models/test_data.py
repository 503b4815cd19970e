import gzip
import lzma
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from laconic.errors import DataError
from laconic.models import data
from laconic.models.data import Dataset, Images
from laconic.models.data.cifar import read_batch
from laconic.models.data.digits import stratified_order
from laconic.models.data.idx import read_array

PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}
MNIST_TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def random_set(train: int = 30, test: int = 12) -> dict[str, np.ndarray]:
    source = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", train), ("t10k", test)):
        arrays[f"{part}-images-idx3-ubyte"] = source.integers(0, 256, (count, 5, 4), np.uint8)
        arrays[f"{part}-labels-idx1-ubyte"] = (np.arange(count) % 3).astype(np.uint8)
    return arrays


def write_idx(folder: Path, arrays: dict[str, np.ndarray], suffix: str = "", mark: str = "-") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        (folder / (name.replace("-idx", f"{mark}idx") + suffix)).write_bytes(PACK[suffix](idx(array)))


def write_cifar(folder: Path, records: int, suffix: str = "") -> np.ndarray:
    folder.mkdir(parents=True, exist_ok=True)
    tables = np.random.default_rng(1).integers(0, 256, (6, records, 3073), np.uint8)
    tables[:, :, 0] %= 10
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    for name, table in zip(names, tables, strict=True):
        (folder / (name + suffix)).write_bytes(PACK[suffix](table.tobytes()))
    return tables


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("inside", ["letters", "."])
def test_idx_in_every_compression_spelling_and_place(tmp_path, suffix, mark, inside):
    arrays = random_set()
    write_idx(tmp_path / inside, arrays, suffix, mark)
    images = data.read("letters", tmp_path)
    assert images.classes == 3
    for part, (pixels, labels) in (("train", images.train), ("t10k", images.test)):
        assert np.array_equal(pixels[:, 0].numpy(), arrays[f"{part}-images-idx3-ubyte"])
        assert np.array_equal(labels.numpy(), arrays[f"{part}-labels-idx1-ubyte"])


CORRUPT = {
    "empty": lambda raw: b"",
    "magic": lambda raw: b"\x00\x01" + raw[2:],
    "type": lambda raw: raw[:2] + b"\x0d" + raw[3:],
    "axes": lambda raw: raw[:3] + b"\x01" + raw[4:],
    "header": lambda raw: raw[:9],
    "truncated": lambda raw: raw[:-1],
    "trailing": lambda raw: raw + b"\x00",
    "count": lambda raw: raw[:4] + struct.pack(">I", 2**32 - 1) + raw[8:],
}


@pytest.mark.parametrize("damage", CORRUPT.values(), ids=CORRUPT)
def test_damaged_idx_is_named(tmp_path, damage):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(damage(idx(random_set()["train-images-idx3-ubyte"])))
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        read_array(path, 3)


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("cut", [0, 1, 20, -4])
def test_damaged_compression_is_named(tmp_path, suffix, cut):
    path = tmp_path / f"train-images-idx3-ubyte{suffix}"
    path.write_bytes(PACK[suffix](idx(random_set()["train-images-idx3-ubyte"]))[:cut])
    with pytest.raises(DataError, match=path.name):
        read_array(path, 3)
    path.write_bytes(b"neither the one nor the other")
    with pytest.raises(DataError, match=path.name):
        read_array(path, 3)


def test_files_that_do_not_belong_together(tmp_path):
    arrays = random_set()
    write_idx(tmp_path / "a", arrays | {"train-labels-idx1-ubyte": np.zeros(29, np.uint8)})
    with pytest.raises(DataError, match=r"30 images.*29 labels"):
        data.read("a", tmp_path)
    write_idx(tmp_path / "b", arrays | {"t10k-images-idx3-ubyte": np.zeros((12, 6, 6), np.uint8)})
    with pytest.raises(DataError, match=r"\(1, 5, 4\).*\(1, 6, 6\)"):
        data.read("b", tmp_path)
    write_idx(tmp_path / "c", random_set(train=0))
    with pytest.raises(DataError, match="0 images"):
        data.read("c", tmp_path)


def test_missing_data_say_where_they_were_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"--data-dir.*LACONIC_DATA"):
        data.load("mnist", None, "pixels/256")
    with pytest.raises(DataError) as caught:
        data.load("mnits", tmp_path, "pixels/256")
    for part in (str(tmp_path / "mnits"), "--data-dir", "LACONIC_DATA", "fashion-mnist", "train-images-idx3-ubyte"):
        assert part in str(caught.value)
    write_idx(tmp_path / "mnist", {"train-images-idx3-ubyte": np.zeros((3, 2, 2), np.uint8)})
    with pytest.raises(DataError, match=r"lacks train-labels-idx1-ubyte, t10k-images-idx3-ubyte"):
        data.load("mnist", tmp_path, "pixels/256")


def test_a_known_data_set_is_never_taken_for_another(tmp_path):
    write_idx(tmp_path / "mnist", random_set())
    assert len(data.read("mnist", tmp_path / "mnist").train[1]) == 30
    with pytest.raises(DataError, match="fashion-mnist: no file"):
        data.read("fashion-mnist", tmp_path / "mnist")


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("inside", [".", "cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"])
def test_cifar_in_every_compression_and_place(tmp_path, suffix, inside):
    tables = write_cifar(tmp_path / inside, 4, suffix)
    images = data.read_cifar10(tmp_path, records=4)
    assert np.array_equal(images.train[1].numpy(), tables[:5, :, 0].ravel())
    assert np.array_equal(images.train[0].numpy().reshape(20, -1), tables[:5, :, 1:].reshape(20, -1))
    assert np.array_equal(images.test[0].numpy().reshape(4, -1), tables[5, :, 1:])


def test_damaged_cifar_is_named(tmp_path):
    write_cifar(tmp_path, 4)
    with pytest.raises(DataError, match=r"data_batch_1\.bin holds 12292 bytes, not 10000 records"):
        data.read("cifar10", tmp_path)
    path = tmp_path / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-3073])
    with pytest.raises(DataError, match=r"test_batch\.bin holds 9219 bytes"):
        data.read_cifar10(tmp_path, records=4)
    path.write_bytes(bytes(3073) + b"\x0a" + bytes(3072))
    with pytest.raises(DataError, match=r"test_batch\.bin: record 1 has label 10"):
        read_batch(path, 2)
    path.unlink()
    with pytest.raises(DataError, match=r"lacks test_batch\.bin"):
        data.read_cifar10(tmp_path, records=4)


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("inside", [".", "cifar100", "cifar-100-binary", "cifar100/cifar-100-binary"])
def test_cifar100_has_the_fine_labels(tmp_path, suffix, inside):
    (tmp_path / inside).mkdir(parents=True, exist_ok=True)
    source, tables = np.random.default_rng(2), {}
    for name, count in (("train", 5), ("test", 3)):
        tables[name] = source.integers(0, 256, (count, 3074), np.uint8)
        tables[name][:, 0] %= 20
        tables[name][:, 1] %= 100
        (tmp_path / inside / f"{name}.bin{suffix}").write_bytes(PACK[suffix](tables[name].tobytes()))
    images = data.read_cifar100(tmp_path, records=(5, 3))
    for name, (pixels, labels) in (("train", images.train), ("test", images.test)):
        assert np.array_equal(labels.numpy(), tables[name][:, 1])
        assert np.array_equal(pixels.numpy().reshape(len(labels), 3, 1024), tables[name][:, 2:].reshape(-1, 3, 1024))


def test_missing_and_damaged_cifar100_are_named(tmp_path):
    with pytest.raises(DataError, match=r"cifar100: no file train\.bin"):
        data.read("cifar100", tmp_path)
    (tmp_path / "train.bin").write_bytes(bytes(2) + bytes(3072) + b"\x13\x64" + bytes(3072))
    with pytest.raises(DataError, match=r"lacks test\.bin"):
        data.read("cifar100", tmp_path)
    (tmp_path / "test.bin").write_bytes(bytes(3074))
    with pytest.raises(DataError, match=r"train\.bin holds 6148 bytes, not 50000 records of 3074"):
        data.read("cifar100", tmp_path)
    with pytest.raises(DataError, match=r"record 1 has label 100; CIFAR-100 has 0 to 99"):
        data.read_cifar100(tmp_path, records=(2, 1))


def test_digits():
    images = data.read_digits()
    assert images.train[0].shape == (1400, 1, 8, 8)
    assert images.brightest == 16 == images.train[0].max()
    assert torch.equal(data.read_digits().train[0], images.train[0])
    total = torch.bincount(torch.cat([images.train[1], images.test[1]])) / 1797
    for labels in (images.train[1][:1200], images.train[1][1200:], images.test[1]):
        assert (torch.bincount(labels) - len(labels) * total).abs().max() <= 1.01


def test_stratified_order_is_frozen():
    order = stratified_order(np.array([0, 1, 0, 1, 0, 0]), 0)
    assert order.tolist() == [5, 3, 2, 4, 1, 0]
    assert stratified_order(np.zeros(0, int), 0).tolist() == []


def numbered(count: int = 50) -> Images:
    """Images that each hold their own number."""
    pixels = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return Images("numbered", (pixels, torch.arange(count) % 5), (pixels[:20] + 100, torch.arange(20) % 5))


def test_splits_are_disjoint_and_whole():
    ready = data.prepare(numbered(), "pixels/256", validation=10)
    seen = {split: {int(256 * one[0, 0, 0]) for one in inputs} for split, (inputs, _) in ready.splits.items()}
    assert seen == {"train": set(range(40)), "validation": set(range(40, 50)), "test": set(range(100, 120))}
    assert ready.shape == (1, 2, 2)
    assert ready.classes == 5


def test_validation_may_be_empty_but_training_not():
    ready = data.prepare(numbered(), "pixels/256", validation=0)
    assert len(ready.split("train")[1]) == 50
    with pytest.raises(DataError, match="no split 'validation'; it has train, test"):
        ready.batches("validation", 0, 8)
    for validation in (50, -1):
        with pytest.raises(DataError, match="choose 0 to 49"):
            data.prepare(numbered(), "pixels/256", validation=validation)


def test_batches_are_a_function_of_the_seed():
    ready = data.prepare(numbered(), "pixels/256", validation=7)
    torch.manual_seed(0)
    before = torch.get_rng_state()

    def order(split: str, seed: int, size: int = 8) -> list[int]:
        return [int(256 * one[0, 0, 0]) for inputs, _ in ready.batches(split, seed, size) for one in inputs]

    assert order("train", 3) == order("train", 3) == order("train", 3, size=11) != order("train", 4)
    assert sorted(order("train", 3)) == list(range(43))
    assert order("validation", 3) == order("validation", 4) == list(range(43, 50))
    assert [len(targets) for _, targets in ready.batches("train", 0, 8)] == [8, 8, 8, 8, 8, 3]
    assert all(
        int(256 * i[0, 0, 0]) % 5 == t for x, y in ready.batches("train", 0, 8) for i, t in zip(x, y, strict=True)
    )
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(DataError, match="size=0"):
        ready.batches("train", 0, 0)


def test_batches_are_the_same_on_every_device():
    ready = data.prepare(numbered(), "pixels/256", validation=7)
    moved = ready.to("cpu")
    assert moved.preprocessing == ready.preprocessing
    for one, other in zip(ready.batches("train", 1, 9), moved.batches("train", 1, 9), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_dataset_refuses_targets_of_another_length():
    with pytest.raises(DataError, match="3 inputs, but 2 targets"):
        Dataset("own", {"train": (torch.zeros(3, 1), torch.zeros(2))})


def test_preprocessing_by_its_definition():
    images = data.read_digits()
    pixels = torch.randint(256, (40, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    coloured = Images(
        "c", (pixels, torch.zeros(40, dtype=torch.int64)), (pixels[:9], torch.zeros(9, dtype=torch.int64))
    )
    x, test = pixels.double() / 255, pixels[:9].double() / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = {
        "pixels/255 - mean image": test - x.mean(0),
        "pixels/255 standardized": (test - x.mean()) / x.std(correction=0),
        "pixels/256": pixels[:9] / 256,
        "pixels/127.5 - 1": pixels[:9] / 127.5 - 1,
        "imagenet": (test - mean) / std,
    }
    assert {*expected, "pixels/16"} == data.PREPROCESSING.keys()
    for name, inputs in expected.items():
        ready = data.prepare(coloured, name, validation=5)
        assert ready.preprocessing == name
        assert ready.split("test")[0].dtype == torch.float32
        torch.testing.assert_close(ready.split("test")[0], inputs.float(), atol=1e-6, rtol=1e-5)
    assert data.prepare(images, "pixels/16", validation=0).split("train")[0].max() == 1


def test_preprocessing_that_does_not_suit():
    with pytest.raises(DataError, match="no preprocessing 'pixels'; known are"):
        data.load("digits", None, "pixels")
    with pytest.raises(DataError, match=r"0 to 16.*take 'pixels/16'"):
        data.load("digits", None, "pixels/256")
    with pytest.raises(DataError, match="0 to 255"):
        data.prepare(numbered(), "pixels/16", validation=5)
    with pytest.raises(DataError, match="takes 3 channels, not 1"):
        data.prepare(numbered(), "imagenet", validation=5)
    flat = torch.zeros(5, 1, 2, 2, dtype=torch.uint8), torch.zeros(5, dtype=torch.int64)
    with pytest.raises(DataError, match="nothing to standardize"):
        data.prepare(Images("flat", flat, flat), "pixels/255 standardized", validation=1)


def test_augmentation_crops_the_black_framed_image():
    pixels = torch.randint(256, (30, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(30)
    images = Images("c", (pixels, labels), (pixels, labels))
    ready = data.prepare(images, "imagenet", validation=0, augment="crop and flip")
    plain = data.prepare(images, "imagenet", validation=0)
    black = data.prepare(Images("b", (pixels * 0, labels), (pixels * 0, labels)), "imagenet", validation=0)
    framed = black.split("test")[0][0, :, :1, :1].repeat(1, 14, 14)
    seen, flips = set(), 0
    for inputs, targets in ready.batches("train", 0, 7):
        for one, target in zip(inputs, targets, strict=True):
            framed[:, 4:-4, 4:-4] = plain.split("train")[0][target]
            windows = {(y, x): framed[:, y : y + 6, x : x + 6] for y in range(9) for x in range(9)}
            places = [p for p, w in windows.items() if torch.equal(w, one) or torch.equal(w.flip(2), one)]
            assert len(places) == 1
            seen.add(places[0])
            flips += torch.equal(windows[places[0]].flip(2), one)
    assert len(seen) > 15
    assert 5 < flips < 25
    first, again = (next(ready.batches("train", 5, 30))[0] for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(next(ready.batches("test", 5, 30))[0], plain.split("test")[0])


def test_augmentation_that_does_not_suit():
    with pytest.raises(DataError, match="known are 'crop and flip'"):
        data.load("digits", None, "pixels/16", augment="flop")
    varied = torch.arange(50 * 4, dtype=torch.uint8).view(50, 1, 2, 2) * torch.tensor([1, 2], dtype=torch.uint8)
    images = Images("v", (varied, torch.zeros(50, dtype=torch.int64)), (varied, torch.zeros(50, dtype=torch.int64)))
    with pytest.raises(DataError, match="all pixels of a channel alike"):
        data.prepare(images, "pixels/255 - mean image", validation=5, augment="crop and flip")


def test_mnist(mnist):
    assert torch.bincount(mnist.train[1]).tolist() == MNIST_TRAIN
    assert torch.bincount(mnist.test[1]).tolist() == MNIST_TEST
    assert mnist.train[0].shape == (60_000, 1, 28, 28)
    pixels = mnist.train[0].float() / 255
    assert float(pixels.mean()) == pytest.approx(0.1307, abs=5e-5)
    assert float(pixels.std()) == pytest.approx(0.3081, abs=5e-5)


def test_mnist_splits(data_dir, mnist):
    ready = data.load("mnist", data_dir, "pixels/256")
    assert {split: len(targets) for split, (_, targets) in ready.splits.items()} == {
        "train": 55_000,
        "validation": 5_000,
        "test": 10_000,
    }
    assert torch.equal(ready.split("validation")[0], mnist.train[0][-5000:].float() / 256)
    assert torch.equal(ready.split("test")[1], mnist.test[1])


@pytest.mark.slow  # to decompress all of it takes eight seconds
def test_cifar10(cifar10):
    assert torch.bincount(cifar10.train[1]).tolist() == [5000] * 10
    assert torch.bincount(cifar10.test[1]).tolist() == [1000] * 10
    planes = [cifar10.train[0][:, channel].float() / 255 for channel in range(3)]
    assert [float(plane.mean()) for plane in planes] == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-5)
    assert [float(plane.std()) for plane in planes] == pytest.approx([0.2470, 0.2435, 0.2616], abs=5e-5)
