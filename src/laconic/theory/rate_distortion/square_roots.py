"""Second moments of weights or inputs: their diagonal, shape (n,), or all of them, shape (n, n)."""

import numpy as np


def square_root(moments: np.ndarray, name: str) -> np.ndarray:
    """Return M^½, of the shape of M, symmetric and not negative.

    Args:
        moments: M, shape (n,) or (n, n), symmetric, no negative eigenvalue.
        name: of the argument that it came in, for the error.

    Raises:
        ValueError: where it is no matrix of second moments.

    >>> square_root(np.array([4.0, 9.0]), "inputs")
    array([2., 3.])
    """
    moments = np.asarray(moments, np.float64)
    square = moments.ndim == 1 or (moments.ndim == 2 and moments.shape[0] == moments.shape[1])
    if not square or not np.isfinite(moments).all():
        raise ValueError(f"{name}: finite moments of shape (n,) or (n, n), not of shape {moments.shape}")
    largest = np.abs(moments).max(initial=0.0)
    if moments.ndim == 2 and np.abs(moments - moments.T).max(initial=0.0) > 1e-9 * largest:
        raise ValueError(f"{name}: second moments are symmetric; average them with their transpose")
    values, vectors = (moments, None) if moments.ndim == 1 else np.linalg.eigh(moments)
    if values.min(initial=0.0) < -1e-9 * largest * (moments.ndim == 2):
        raise ValueError(f"{name}: no direction has a negative second moment, one has {values.min()}")
    scales: np.ndarray = np.sqrt(np.maximum(values, 0.0))
    return scales if vectors is None else (vectors * scales) @ vectors.T


def times(vectors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return each row of ``vectors``, shape (..., n), times a symmetric matrix, shape (n, n) or its diagonal (n,).

    >>> times(np.array([[1.0, 2.0]]), np.array([3.0, 4.0]))
    array([[3., 8.]])
    """
    vectors = np.asarray(vectors, np.float64)
    if vectors.ndim == 0 or vectors.shape[-1] != len(matrix):
        raise ValueError(f"vectors of {len(matrix)} numbers, as many as the moments have, not of shape {vectors.shape}")
    product: np.ndarray = vectors * matrix if matrix.ndim == 1 else vectors @ matrix
    return product
