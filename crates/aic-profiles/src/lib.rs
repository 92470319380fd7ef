//! Hardware described, optimisation profiles for it, and a recommendation with reasons.
