//! Model files, quantizing them, and running them: a small local engine.
