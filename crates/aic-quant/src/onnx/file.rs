//! Reading a model file.
use std::fs;
use std::path::Path;

use prost::Message;

use super::external::DataFiles;
use super::proto::{GraphProto, ModelProto};
use super::schema;
use crate::{Error, Result};

/// What protobuf can hold.
pub(super) const PROTOBUF_LIMIT: u64 = i32::MAX as u64;

/// A model file in memory, its external data still where it was.
pub(super) struct ModelFile {
    pub(super) model: ModelProto,
    pub(super) data: DataFiles,
    /// The bytes of the model file alone.
    pub(super) bytes: u64,
}

impl ModelFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let size = fs::metadata(path).map_err(Error::io("open", path))?.len();
        if size > PROTOBUF_LIMIT {
            let problem =
                format!("the file has {size} bytes, more than the {PROTOBUF_LIMIT} of a protobuf message");
            return Err(malformed(path, (0, problem)));
        }
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let model = decode(&bytes).map_err(|problem| malformed(path, problem))?;
        Ok(Self { model, data: DataFiles::beside(path)?, bytes: bytes.len() as u64 })
    }
}

/// The model in the bytes of a file.
fn decode(bytes: &[u8]) -> Result<ModelProto, schema::Problem> {
    schema::check(bytes)?;
    let model = ModelProto::decode(bytes).map_err(|error| (0, error.to_string()))?;
    let missing = |what| Err((bytes.len() as u64, format!("the model has no {what}")));
    match &model {
        ModelProto { ir_version: None, .. } => missing("version"),
        ModelProto { graph: None, .. } => missing("graph"),
        model if model.opset_import.is_empty() => missing("operator set"),
        ModelProto { graph: Some(graph), .. } if !puts_out(graph) => missing("output for one of its nodes"),
        _ => Ok(model),
    }
}

/// Whether every node of the graph and its bodies has an output.
fn puts_out(graph: &GraphProto) -> bool {
    graph.node.iter().all(|node| !node.output.is_empty() && node.bodies().all(puts_out))
}

fn malformed(path: &Path, (offset, problem): schema::Problem) -> Error {
    Error::Malformed { format: "ONNX", file: path.display().to_string(), offset, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/onnx").join(name)).unwrap()
    }

    /// `everything.onnx` has each field of each message; it was written by the Python package `onnx`.
    #[test]
    fn every_field_of_every_message_comes_back() {
        let bytes = golden("everything.onnx");
        assert_eq!(decode(&bytes).unwrap().encode_to_vec(), bytes);
    }

    #[test]
    fn file_cut_anywhere_is_an_error_and_no_panic() {
        let bytes = golden("mlp.onnx");
        let whole = (0..bytes.len()).filter(|end| decode(&bytes[..*end]).is_ok()).count();
        // Between two fields of the model a cut is not to be seen, unless a field that must be there is missing.
        assert!(whole <= 3, "{whole} cuts went unnoticed");
    }
}
