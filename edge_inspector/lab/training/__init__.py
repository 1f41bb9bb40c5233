"""From good images to a trained model."""
