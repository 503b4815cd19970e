"""What the LC algorithm is measured against: methods that train and compress by turns or at once, one a file.

Each is a generator of states from the one it is given, of so many steps; a step has the epochs of an L step and the
same batches, so that methods are compared at equal epochs. A state is a function of the last one.
"""
