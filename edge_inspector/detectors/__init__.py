"""One file a family of detectors; each fits on good images and ends as two graphs."""
