"""Saliency models in files of LiteRT and ONNX."""
