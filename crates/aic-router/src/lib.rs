//! The right model for each request: providers, choice, retry, fallback and breakers.
