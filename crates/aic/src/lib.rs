//! Fast, cheap and dependable AI calls on whatever machine it finds: the eight aic crates, wired together.
