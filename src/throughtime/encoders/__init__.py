"""What turns pictures into feature vectors: convolutional networks without their last layer and softmax."""
