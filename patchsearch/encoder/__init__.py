"""Internal API of the encoder."""
