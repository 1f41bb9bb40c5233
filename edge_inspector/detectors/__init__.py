"""One file a family of detectors; each fits on good pictures and ends as two graphs."""
