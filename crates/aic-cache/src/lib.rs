//! Answers kept and found again: fingerprints, stores and single-flight.
