use aic_quant::Error;
use aic_quant::onnx::{Session, Tensor};

use super::model::LIBRARY;

/// `y[1, 2] = x[1, 2] · [[1, 2], [3, 4]]` as protobuf, made with:
///
/// ```python
/// from onnx import TensorProto as T, helper as h
/// w = h.make_tensor("w", T.FLOAT, [2, 2], [1, 2, 3, 4])
/// x, y = (h.make_tensor_value_info(n, T.FLOAT, [1, 2]) for n in "xy")
/// graph = h.make_graph([h.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [w])
/// model = h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8)
/// print(model.SerializeToString().hex())
/// ```
const MODEL: &str = "08083a5d0a110a01780a017712017922064d61744d756c1201672a1b08020802100122100000803f0000004000004040000080404201775a130a0178120e0a0c080112080a0208010a02080262130a0179120e0a0c080112080a0208010a02080242040a00100d";

fn model() -> Vec<u8> {
    (0..MODEL.len()).step_by(2).map(|at| u8::from_str_radix(&MODEL[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn session_names_its_values_computes_and_refuses_what_does_not_fit() {
    let Some(library) = LIBRARY.as_deref() else { return };
    let library = Some(library);
    let session = Session::from_bytes(&model(), library).unwrap();
    assert_eq!((session.inputs(), session.outputs()), (&["x".to_owned()][..], &["y".to_owned()][..]));

    let outputs = session.run(vec![Tensor::new("x", &[1, 2], vec![10.0, 1.0])]).unwrap();
    assert_eq!(outputs, [Tensor::new("y", &[1, 2], vec![13.0, 24.0])]);

    let misshapen = session.run(vec![Tensor::new("x", &[2, 2], vec![1.0])]);
    assert!(matches!(misshapen, Err(Error::Tensor { .. })));
    let misnamed = session.run(vec![Tensor::new("z", &[1, 2], vec![1.0, 2.0])]);
    assert!(matches!(misnamed, Err(Error::Onnx { .. })));
    let integers = session.run(vec![Tensor::new("x", &[1, 2], vec![1_i64, 2])]);
    assert!(matches!(integers, Err(Error::Onnx { .. })));
    assert!(matches!(Session::from_bytes(b"not a model", library), Err(Error::Onnx { .. })));
    assert!(matches!(Session::open("/nowhere/model.onnx", library), Err(Error::Io { .. })));
}
