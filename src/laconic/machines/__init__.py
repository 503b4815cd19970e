"""Several machines that work on one network: gradients in few bits, exchanged with the same result on all."""
