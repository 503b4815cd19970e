"""Which network a file holds, and what its inputs went through: the metadata of checkpoints and `.lac` files."""

from collections.abc import Mapping

from laconic.errors import DataError
from laconic.models.nets.zoo import net


def preprocessing_of(name: str, data: str) -> str:
    """Return the preprocessing of network ``name`` on data set ``data``.

    >>> preprocessing_of("lenet300-tanh", "mnist"), preprocessing_of("lenet300-tanh", "digits")
    ('pixels/255 - mean image', 'pixels/16')

    Raises:
        DataError: when the network is unknown.
    """
    usual = net(name).preprocessing
    return "pixels/16" if data == "digits" else usual


def identity(name: str, data: str, preprocessing: str) -> dict[str, str]:
    """Return the metadata that travel with the weights of a network."""
    return {"net": name, "data": data, "preprocessing": preprocessing}


def check_identity(metadata: Mapping[str, str], name: str, data: str, preprocessing: str | None = None) -> None:
    """Check that a file is of network ``name`` and of the preprocessing in use.

    What the metadata do not say is accepted. Another data set is accepted as well, if its preprocessing is the same:
    weights may be carried over.

    Args:
        metadata: of the file.
        name: of the network in use.
        data: the data set in use.
        preprocessing: the one in use; that of the network on ``data`` unless told.

    Raises:
        DataError: when the file says otherwise.
    """
    expected = identity(name, data, preprocessing or preprocessing_of(name, data))
    options = {"net": "name this network instead", "preprocessing": "load the data with this preprocessing"}
    for key, advice in options.items():
        value = metadata.get(key)
        if value is not None and value != expected[key]:
            raise DataError(f"the weights are of {key} {value!r}, not {expected[key]!r}; {advice}")
