"""Detection: boxes, matching, loss, suppression and precision beside slow twins and the field's own code."""

import contextlib
import io
import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laconic.errors import DataError
from laconic.models.data.dataset import Dataset
from laconic.models.data.shapes import shapes
from laconic.models.nets.ssd import Detector
from laconic.models.params import params_of
from laconic.training.detection.boxes import corners, decoded, encoded, overlaps, require_targets
from laconic.training.detection.matching import matched
from laconic.training.detection.multibox import multibox
from laconic.training.detection.precision import AREAS, LIMITS, MOST, Truth, precision
from laconic.training.detection.suppression import Found, Keeping, found, kept
from laconic.training.detection.task import detection, truth_of


def boxes_of(source, count, side=100.0, least=1.0):
    """Random boxes by corners, on quarters of pixels: some overlaps are equal."""
    first = source.integers(0, int(4 * side) - 8, (count, 2)) / 4
    last = np.minimum(first + least + source.integers(0, int(2 * side), (count, 2)) / 4, side)
    return np.concatenate([first, last], 1)


def iou(one, other):
    """Of two boxes, side by side."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - width * height
    return width * height / area if area > 0 else 0.0


# --- boxes -------------------------------------------------------------------------------------------


def test_overlaps_are_those_of_each_pair():
    source = np.random.default_rng(0)
    one, other = (torch.tensor(boxes_of(source, count)) for count in (7, 9))
    every = [[iou(a, b) for b in other.tolist()] for a in one.tolist()]
    assert overlaps(one, other) == pytest.approx(torch.tensor(every, dtype=torch.float64))
    empty = torch.zeros(1, 4)
    assert overlaps(empty, empty).item() == 0


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(1, 90), min_size=8, max_size=8))
def test_offsets_and_back_are_the_box(numbers):
    x, y, w, h, *default = (torch.tensor(number, dtype=torch.float64) for number in numbers)
    box = torch.stack([x, y, x + w, y + h])
    assert decoded(encoded(box, torch.stack(default)), torch.stack(default)) == pytest.approx(box)


def test_offsets_by_the_formula_of_ssd():
    """A box moved by a tenth of the default's width and twice as tall: 0.1/0.1 and ln 2/0.2."""
    offsets = encoded(torch.tensor([15.0, 0, 35, 40]), torch.tensor([23.0, 20, 20, 20]))
    assert offsets.tolist() == pytest.approx([1.0, 0.0, 0.0, math.log(2) / 0.2])
    assert decoded(torch.full((4,), 1e9), torch.ones(4)).isfinite().all()


# --- matching and loss -------------------------------------------------------------------------------


def slow_match(overlap):
    """One image: pairs by falling overlap, then what is left; a transcription."""
    objects, count = overlap.shape
    found, left = [-1] * count, set(range(objects))
    while left and -1 in found:
        free = [box for box in range(count) if found[box] < 0]
        one, box = max(product(sorted(left), free), key=lambda pair: overlap[pair])
        found[box] = one
        left.remove(one)
    for box in range(count):
        if found[box] < 0 and overlap[:, box].max(initial=0.0) >= 0.5:
            found[box] = int(overlap[:, box].argmax())
    return found


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_matching_against_its_slow_twin(seed):
    source = np.random.default_rng(seed)
    real = source.integers(0, 5, 3)
    overlap = torch.zeros(3, 5, 7)
    for image, count in enumerate(real):
        overlap[image, :count] = torch.tensor(source.random((count, 7)))
    there = torch.arange(5) < torch.tensor(real)[:, None]
    found = matched(overlap, there)
    assert found.tolist() == [slow_match(one[:count].numpy()) for one, count in zip(overlap, real, strict=True)]


def slow_loss(outputs, targets, default):
    """Box by box, in plain numbers."""
    total, positives = 0.0, 0
    for image, objects in zip(outputs.tolist(), targets.tolist(), strict=True):
        real = [one for one in objects if one[0] > 0]
        square = corners(default).tolist()
        overlap = np.array([[iou(one[1:], box) for box in square] for one in real]).reshape(len(real), len(square))
        found = slow_match(overlap)
        costs = []
        for numbers, one in zip(image, found, strict=True):
            logits = numbers[4:]
            label = int(real[one][0]) if one >= 0 else 0
            costs.append(math.log(sum(math.exp(z) for z in logits)) - logits[label])
        for place, one in enumerate(found):
            if one >= 0:
                wanted = encoded(torch.tensor(real[one][1:]), default[place]).tolist()
                apart = [abs(a - b) for a, b in zip(image[place][:4], wanted, strict=True)]
                total += costs[place] + sum(0.5 * d * d if d < 1 else d - 0.5 for d in apart)
        matches = sum(one >= 0 for one in found)
        total += sum(sorted((c for c, one in zip(costs, found, strict=True) if one < 0), reverse=True)[: 3 * matches])
        positives += matches
    return total / max(1, positives)


def test_the_loss_against_its_slow_twin():
    source = np.random.default_rng(3)
    default = torch.tensor(np.concatenate([source.uniform(10, 90, (30, 2)), source.uniform(10, 60, (30, 2))], 1))
    outputs = torch.tensor(source.standard_normal((4, 30, 4 + 3)))
    targets = torch.zeros(4, 3, 5, dtype=torch.float64)
    for image, count in enumerate((3, 1, 0, 2)):
        labels = source.integers(1, 3, (count, 1))
        targets[image, :count] = torch.tensor(np.concatenate([labels, boxes_of(source, count)], 1))
    assert float(multibox(outputs, targets, default)) == pytest.approx(slow_loss(outputs, targets, default))
    assert float(multibox(outputs, torch.zeros(4, 0, 5), default)) == 0
    assert float(multibox(outputs, targets[:, :0], default)) == 0


def test_the_loss_is_least_where_offsets_and_classes_are_the_objects():
    default = torch.tensor([[20.0, 20, 20, 20], [60, 60, 20, 20], [60, 20, 20, 20]])
    targets = torch.tensor([[[2.0, 12, 10, 30, 34]]])
    outputs = torch.full((1, 3, 7), -20.0)
    outputs[..., :4], outputs[0, 0, :4] = 0, encoded(targets[0, 0, 1:], default[0])
    outputs[0, 0, 6] = outputs[0, 1:, 4] = 20
    assert float(multibox(outputs, targets, default)) < 1e-6
    outputs.requires_grad_()
    (slope,) = torch.autograd.grad(multibox(outputs * 0.9, targets, default), outputs)
    assert slope[0, 0, :4].abs().max() > 0
    assert not slope[0, 1:, :4].any()  # only matched boxes have offsets to learn


# --- suppression -------------------------------------------------------------------------------------


def slow_kept(boxes, scores, limit):
    left, stay = sorted(range(len(scores)), key=lambda one: (-scores[one], one)), set()
    while left:
        best, *left = left
        stay.add(best)
        left = [one for one in left if not iou(boxes[best], boxes[one]) > limit]
    return [one in stay for one in range(len(scores))]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 0.5]))
def test_suppression_against_its_slow_twin(seed, limit):
    source = np.random.default_rng(seed)
    boxes, scores = boxes_of(source, 12, side=30.0), source.integers(0, 6, 12) / 6
    assert kept(torch.tensor(boxes), torch.tensor(scores), limit).tolist() == slow_kept(boxes, scores, limit)


def test_what_is_found_is_within_the_image_by_falling_scores_and_class_by_class():
    default = torch.tensor([[10.0, 10, 30, 30], [11, 10, 30, 30], [10, 10, 30, 30], [70, 60, 10, 10]])
    outputs = torch.zeros(1, 4, 4 + 3)
    outputs[0, :, 4:] = torch.tensor([[0, 9, 0], [0, 8, 0], [0, 0, 7], [9, 0, 0.0]])
    (one,) = found(outputs, default, (80, 64))
    assert one.labels.tolist()[:2] == [1, 2]  # the second box goes for the first, the third is of another class
    assert one.boxes[0].tolist() == [0, 0, 25, 25]
    assert (np.diff(one.scores) <= 0).all()
    assert (one.boxes[:, 2:] <= (64, 80)).all()
    assert len(found(outputs, default, (80, 64), Keeping(most=1))[0].scores) == 1
    assert not len(found(outputs, default, (80, 64), Keeping(score=1.1))[0].scores)


# --- mean average precision --------------------------------------------------------------------------


def one_class(*scored):
    """Boxes of class 1 with their scores."""
    boxes = np.array([box for box, _ in scored], float).reshape(-1, 4)
    return Found(boxes, np.ones(len(scored), int), np.array([score for _, score in scored], float))


OBJECTS = Truth(np.array([[0.0, 0, 10, 10], [20, 20, 30, 30]]), np.array([1, 1]))
HIT, OTHER, MISS, NEAR = [0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60], [0, 0, 10, 7]


@pytest.mark.parametrize(
    ("scored", "at_half", "mean"),
    [
        ([(HIT, 0.9), (OTHER, 0.8)], 1.0, 1.0),
        ([], 0.0, 0.0),
        ([(HIT, 0.9)], 51 / 101, 51 / 101),  # recalls 0, …, 0.50
        ([(MISS, 0.9), (HIT, 0.8), (OTHER, 0.7)], 2 / 3, 2 / 3),  # precision 0, 1/2, 2/3: at most 2/3 everywhere
        ([(HIT, 0.9), (MISS, 0.8), (OTHER, 0.7)], (51 + 50 * 2 / 3) / 101, (51 + 50 * 2 / 3) / 101),
        ([(HIT, 0.9), (HIT, 0.8), (OTHER, 0.7)], (51 + 50 * 2 / 3) / 101, (51 + 50 * 2 / 3) / 101),  # found twice
        ([(NEAR, 0.9), (OTHER, 0.8)], 1.0, (5 * 1.0 + 5 * 51 / 101 * 0.5) / 10),  # an overlap of 0.7: five limits
    ],
)
def test_precision_by_hand(scored, at_half, mean):
    judged = precision([one_class(*scored)], [OBJECTS], 1)
    assert judged.mean(0.5) == pytest.approx(at_half)
    if scored and scored[0][0] is NEAR:  # beyond 0.7 the first is wrong: precision 1/2 up to recall 1/2
        assert judged.mean(0.7) == pytest.approx(1.0)
    assert judged.mean() == pytest.approx(mean)


def test_classes_without_objects_do_not_count_and_images_without_any_do():
    nothing = Truth(np.zeros((0, 4)), np.zeros(0, int))
    assert precision([one_class((HIT, 0.9), (OTHER, 0.8))], [OBJECTS], 3).mean() == 1
    judged = precision([one_class((HIT, 0.5), (OTHER, 0.5)), one_class((MISS, 0.9))], [OBJECTS, nothing], 1)
    assert judged.mean(0.5) == pytest.approx(2 / 3)
    assert math.isnan(precision([one_class((MISS, 0.9))], [nothing], 1).mean())
    with pytest.raises(DataError, match="image 0 has labels 1 to 2, not 1 to 1"):
        precision([one_class((HIT, 1.0))], [Truth(OBJECTS.boxes, np.array([1, 2]))], 1)
    with pytest.raises(DataError, match="of 2 images, but objects of 1"):
        precision([one_class()] * 2, [OBJECTS], 1)


def random_images(seed, images=12, classes=3):
    """Objects, some crowds, areas of their own; boxes near some of them, with scores of which many are equal."""
    source, detected, truth = np.random.default_rng(seed), [], []
    for _ in range(images):
        count = int(source.integers(0, 7))
        objects, labels = boxes_of(source, count, 200.0), source.integers(1, classes + 1, count)
        near = np.clip(objects + source.normal(0, 3, objects.shape), 0, 200)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        boxes = np.concatenate([near, boxes_of(source, 5, 200.0), np.repeat(near[:1], 3, 0)])
        guesses = np.concatenate([labels, source.integers(1, classes + 1, len(boxes) - count)])
        detected.append(Found(boxes, guesses, source.integers(1, 20, len(boxes)) / 20))
        sizes = (objects[:, 2:] - objects[:, :2]).prod(1) * source.uniform(0.5, 1, count)
        truth.append(Truth(objects, labels, sizes, source.random(count) < 0.15))
    return detected, truth


@pytest.mark.parametrize("seed", range(3))
def test_precision_is_that_of_pycocotools(seed):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    cocoeval = pytest.importorskip("pycocotools.cocoeval", reason="pycocotools is not installed")
    detected, truth = random_images(seed)
    objects = [
        {"id": 1000 * image + row + 1, "image_id": image, "category_id": int(label), "area": float(area),
         "bbox": [*box[:2], *(box[2:] - box[:2])], "iscrowd": int(crowd)}
        for image, one in enumerate(truth)
        for row, (box, label, area, crowd) in enumerate(zip(one.boxes, one.labels, one.areas, one.crowds, strict=True))
    ]  # fmt: skip
    boxes = [
        {"image_id": image, "category_id": int(label), "bbox": [*box[:2], *(box[2:] - box[:2])], "score": float(score)}
        for image, one in enumerate(detected)
        for box, label, score in zip(one.boxes, one.labels, one.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        own = coco.COCO()
        own.dataset = {
            "images": [{"id": image} for image in range(len(truth))], "annotations": objects,
            "categories": [{"id": label} for label in (1, 2, 3)],
        }  # fmt: skip
        own.createIndex()
        theirs = cocoeval.COCOeval(own, own.loadRes(boxes), "bbox")
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    judged = precision(detected, truth, 3)
    for mine, other in ((judged.precision, theirs.eval["precision"]), (judged.recall, theirs.eval["recall"])):
        assert np.where(np.isnan(mine), -1, mine) == pytest.approx(other, abs=1e-12)
    means = [judged.mean(), judged.mean(0.5), judged.mean(0.75), *(judged.mean(area=a) for a in list(AREAS)[1:])]
    recalls = [*(judged.mean_recall(most=m) for m in MOST), *(judged.mean_recall(area=a) for a in list(AREAS)[1:])]
    assert [-1 if one != one else one for one in (*means, *recalls)] == pytest.approx(theirs.stats.tolist(), abs=1e-12)
    part = precision(detected, truth, 3, (0.5,), ("all",))
    assert part.mean() == judged.mean(LIMITS[0])


# --- targets, and the task ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([1, 5, 5, float("nan"), 9], r"sample 1 of the batch has a target that is NaN or infinite; its object 0"),
        ([4, 5, 5, 9, 9], r"sample 1 .* a class that is not one of 1 to 3; its object 0 is \(4, 5, 5, 9, 9\)"),
        ([1.5, 5, 5, 9, 9], "a class that is not one of 1 to 3"),
        ([1, 5, 5, 5, 9], "a box without an area"),
        ([1, 5, 5, 40, 9], r"a box that is not within its image of 24x32"),
        ([1, -1, 5, 9, 9], "a box that is not within its image"),
    ],
)
def test_targets_that_are_none_name_the_sample(wrong, said):
    targets = torch.tensor([[[1.0, 0, 0, 9, 9]], [wrong]])
    with pytest.raises(DataError, match=said):
        require_targets(targets, (3, 24, 32), 3)
    require_targets(targets[:1], (3, 24, 32), 3)
    with pytest.raises(DataError, match=r"are a tensor .* not a ndarray"):
        require_targets(targets.numpy(), (3, 24, 32), 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64])
def test_targets_of_any_type_are_the_same_objects(dtype):
    found = truth_of(torch.tensor([[1, 2, 3, 8, 9], [0, 0, 0, 0, 0]], dtype=dtype))
    assert (found.boxes.tolist(), found.labels.tolist()) == ([[2, 3, 8, 9]], [1])


SMALL = {"width": 0.25, "base": "mobilenet-v1", "small": True, "extras": 1, "scales": (0.3, 0.6)}


def small_task(**more):
    data = shapes({"train": 12, "validation": 4, "test": 5}, side=32)
    torch.manual_seed(0)
    return detection(Detector(data.shape, data.classes, **SMALL), data, batch=4, **more)


def test_the_task_s_error_is_that_of_the_whole_split():
    task = small_task()
    ((inputs, targets),) = task.batches("test", 0)
    params = params_of(task.module)
    said = task.evaluate(params, "test")
    with torch.no_grad():
        outputs = task.module.eval()(inputs)
    detected = found(outputs, task.module.default_boxes, (32, 32))
    truth = [Truth(one[one[:, 0] > 0, 1:].numpy(), one[one[:, 0] > 0, 0].long().numpy()) for one in targets]
    assert said["error"] == pytest.approx(100 * (1 - precision(detected, truth, 3).mean(0.5)))
    assert said["loss"] == pytest.approx(float(multibox(outputs, targets, task.module.default_boxes)), rel=1e-4)


def test_what_does_not_belong_together_is_named():
    data = shapes({"train": 4, "test": 2}, side=32)
    with pytest.raises(
        DataError, match=r"3 classes and images \(3, 32, 32\), the detector 5 .* Detector\(\(3, 32, 32\), 3\)"
    ):
        detection(Detector(data.shape, 5, **SMALL), data)
    inputs, targets = data.split("test")
    bad = targets.clone()
    bad[1, 0, 1] = float("nan")
    with pytest.raises(DataError, match="sample 1 of shapes, test, has a target that is NaN"):
        detection(Detector(data.shape, 3, **SMALL), Dataset("shapes", {**data.splits, "test": (inputs, bad)}, 3))
    with pytest.raises(DataError, match=r"\(2, most, 5\).*not \(2, 4\)"):
        detection(Detector(data.shape, 3, **SMALL), [(inputs, bad[:, 0, 1:])])
    with pytest.raises(DataError, match=r"default boxes for images \(3, 32, 32\), not \(3, 34, 32\)"):
        detection(Detector(data.shape, 3, **SMALL), [(torch.zeros(2, 3, 34, 32), targets)])
    with pytest.raises(DataError, match="tset: splits are train, validation, test"):
        detection(Detector(data.shape, 3, **SMALL), {"tset": [(inputs, targets)]})
