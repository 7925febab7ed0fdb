"""ONNX: the file for onnxruntime and the browser, and the door for networks that were trained elsewhere."""
