mod options;
pub use options::ServeOptions;
