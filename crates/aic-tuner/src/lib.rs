//! Search spaces, samplers, trials, and changes that can be taken back.
