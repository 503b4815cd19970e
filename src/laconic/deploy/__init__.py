"""What a compressed network becomes where it runs: modules of torch, and graphs of ONNX."""
