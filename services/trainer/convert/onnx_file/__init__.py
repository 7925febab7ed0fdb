"""ONNX: the file for onnxruntime and the browser, and the door for networks that were trained elsewhere.

graph ─► write ─► bytes ─► read ─► graph
"""
