"""Models to and from elsewhere: ONNX files out, the weights of torch.nn and Keras in."""
