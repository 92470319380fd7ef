//! The version of the standard operators: what a model has, and whether it may be raised.
use super::proto::{GraphProto, ModelProto, NodeProto};
use crate::{Error, Result};

/// Operators whose attributes or meaning changed so that a node of an older model would be another one, and when. From the
/// [changelog of the operators](https://github.com/onnx/onnx/blob/main/docs/Changelog.md); new types and new optional
/// inputs do not count.
const CHANGES: [(&str, i64); 20] = [
    ("BatchNormalization", 9),
    ("Scan", 9),
    ("Upsample", 9),
    ("Dropout", 10),
    ("Resize", 10),
    ("Slice", 10),
    ("TopK", 10),
    ("Upsample", 10),
    ("Clip", 11),
    ("Pad", 11),
    ("Resize", 11),
    ("Scatter", 11),
    ("Dropout", 12),
    ("Hardmax", 13),
    ("LogSoftmax", 13),
    ("ReduceSum", 13),
    ("Softmax", 13),
    ("Split", 13),
    ("Squeeze", 13),
    ("Unsqueeze", 13),
];
/// Before this version broadcasting was an attribute, and nothing can be raised.
const OLDEST: i64 = 7;

/// Raises the version to `wanted` if it is lower.
pub(super) fn lift(model: &mut ModelProto, wanted: i64) -> Result<()> {
    let standard = |domain: &Option<String>| matches!(domain.as_deref(), None | Some("" | "ai.onnx"));
    let import = model.opset_import.iter_mut().find(|import| standard(&import.domain));
    let Some(import) = import else { return Err(refused("none".to_owned())) };
    let version = import.version.unwrap_or(0);
    if version >= wanted {
        return Ok(());
    }
    if version < OLDEST {
        return Err(refused(version.to_string()));
    }
    let changed = |node: &NodeProto| {
        let change = |(op, since): &(&str, i64)| node.is(op) && version < *since && *since <= wanted;
        CHANGES.iter().any(change)
    };
    if let Some(op) = model.graph.as_ref().and_then(|graph| find(graph, &changed)) {
        return Err(refused(format!("{version} with the operator {op}")));
    }
    import.version = Some(wanted);
    Ok(())
}

/// The operator of a node, here or in a body, that `wanted` is true of.
fn find<'a>(graph: &'a GraphProto, wanted: &impl Fn(&NodeProto) -> bool) -> Option<&'a str> {
    graph.node.iter().find_map(|node| match wanted(node) {
        true => Some(node.op()),
        false => node.bodies().find_map(|body| find(body, wanted)),
    })
}

fn refused(name: String) -> Error {
    let supported =
        "13 and newer (older ones if none of their operators changed since); export the model again";
    Error::Unsupported { what: "operator set", name, supported }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::OperatorSetIdProto;

    fn model(version: i64, op: &str) -> ModelProto {
        let graph = GraphProto { node: vec![NodeProto::new(op, &["x"], &["y"])], ..Default::default() };
        let import = OperatorSetIdProto { domain: None, version: Some(version) };
        ModelProto { graph: Some(graph), opset_import: vec![import], ..Default::default() }
    }

    #[test]
    fn old_version_is_raised_only_if_no_operator_changed() {
        let lifted = |version, op| {
            let mut model = model(version, op);
            lift(&mut model, 13).map(|()| model.opset_import[0].version.unwrap())
        };

        assert_eq!(lifted(11, "MatMul").unwrap(), 13);
        assert_eq!(lifted(17, "Softmax").unwrap(), 17);
        assert!(lifted(11, "Softmax").unwrap_err().to_string().contains("11 with the operator Softmax"));
        assert!(lifted(6, "MatMul").is_err());
    }
}
