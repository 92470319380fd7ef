//! The version of the standard operators: what a model has, and whether it may be raised.
use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto, data_type};
use crate::{Error, Result};

/// Operators whose attributes or meaning changed so that a node of an older model would be another one, and when. From the
/// [changelog of the operators](https://github.com/onnx/onnx/blob/main/docs/Changelog.md); new types and new optional
/// inputs do not count.
const CHANGES: [(&str, i64); 16] = [
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
    ("Hardmax", AXES_AS_INPUTS),
    ("LogSoftmax", AXES_AS_INPUTS),
    ("Softmax", AXES_AS_INPUTS),
];
/// Operators whose attribute became their second input with [`AXES_AS_INPUTS`], and the attribute.
const MOVED: [(&str, &str); 4] =
    [("ReduceSum", "axes"), ("Split", "split"), ("Squeeze", "axes"), ("Unsqueeze", "axes")];
/// The version in which axes became inputs, and softmax came to sum over one axis rather than over all from there on.
const AXES_AS_INPUTS: i64 = 13;
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
        CHANGES.iter().any(change) && !(node.op().ends_with("max") && node.int("axis") == Some(-1))
    };
    if let Some(op) = model.graph.as_ref().and_then(|graph| find(graph, &changed)) {
        return Err(refused(format!("{version} with the operator {op}")));
    }
    import.version = Some(wanted);
    if version < AXES_AS_INPUTS && AXES_AS_INPUTS <= wanted {
        model.graph.iter_mut().for_each(move_axes);
    }
    Ok(())
}

/// Turns attributes that became inputs into constants of the same graph.
fn move_axes(graph: &mut GraphProto) {
    for node in &mut graph.node {
        node.bodies_mut().for_each(move_axes);
        let Some((_, name)) = MOVED.iter().find(|(op, _)| node.is(op)) else { continue };
        let Some(at) = node.attribute.iter().position(|attribute| attribute.name.as_deref() == Some(name))
        else {
            continue;
        };
        let axes = node.attribute.remove(at).ints;
        let constant = format!("{}_{name}", node.output.first().map_or("", String::as_str));
        let raw = axes.iter().flat_map(|axis| axis.to_le_bytes()).collect();
        graph.initializer.push(TensorProto::new(&constant, &[axes.len()], data_type::INT64, raw));
        node.input.push(constant);
    }
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
    use crate::onnx::proto::{AttributeProto, OperatorSetIdProto};

    fn model(version: i64, op: &str) -> ModelProto {
        let graph = GraphProto { node: vec![NodeProto::new(op, &["x"], &["y"])], ..Default::default() };
        let import = OperatorSetIdProto { domain: None, version: Some(version) };
        ModelProto { graph: Some(graph), opset_import: vec![import], ..Default::default() }
    }

    #[test]
    fn axes_that_became_inputs_move_there_and_softmax_over_the_last_axis_stays() {
        let mut model = model(11, "Squeeze");
        let graph = model.graph.as_mut().unwrap();
        let ints = |values: &[i64]| AttributeProto {
            name: Some("axes".to_owned()),
            ints: values.to_vec(),
            ..AttributeProto::default()
        };
        graph.node[0].attribute.push(ints(&[2]));
        graph.node.push(NodeProto::new("Softmax", &["y"], &["z"]).with_int("axis", -1));

        lift(&mut model, 13).unwrap();

        let graph = model.graph.unwrap();
        assert_eq!(graph.node[0].input, ["x", "y_axes"]);
        assert_eq!(graph.node[0].attribute, []);
        assert_eq!(
            graph.initializer,
            [TensorProto::new("y_axes", &[1], data_type::INT64, vec![2, 0, 0, 0, 0, 0, 0, 0])]
        );
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
