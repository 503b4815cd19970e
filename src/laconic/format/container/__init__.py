"""The `.lac` file (`docs/format.md`): written all or nothing, read lazily, without torch.

>>> import numpy as np
>>> from laconic.format.codes import DenseCode
>>> data = dumps({"w": DenseCode.of(np.float32([1, 2]))}, {"net": "toy"})
>>> contents = loads(data)
>>> contents.metadata["net"], contents.codes["w"].decompress()
('toy', array([1., 2.], dtype=float32))
"""

from laconic.format.container.charges import HEADER, Charge
from laconic.format.container.reader import Contents, LacFile, loads, open
from laconic.format.container.writer import bits, dumps, write

__all__ = ["HEADER", "Charge", "Contents", "LacFile", "bits", "dumps", "loads", "open", "write"]
