"""Arguments that many tests use, and the reader of what is printed."""

import json

import pytest

TRAIN = ["train", "--net", "lenet300", "--data", "digits", "--epochs", "3", "--lr", "0.05", "--quiet"]

EFFORTS = {
    "direct": [],
    "lc": ["--effort", "train", "--steps", "2", "--finetune", "1", "--lr", "0.05"],
    "idc": ["--effort", "train", "--method", "idc", "--steps", "2", "--finetune", "1", "--lr", "0.05"],
    "retrain": ["--effort", "train", "--method", "retrain", "--finetune", "1"],
}


def parsed(text):
    """Read strict JSON: NaN and Infinity are none."""
    return json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
