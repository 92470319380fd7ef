use aic_quant::Error;
use aic_quant::onnx::{Runtime, Session, Tensor};

use super::model::{onnxruntime, runtimes};

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
    for options in runtimes() {
        let session = options.from_bytes(&model()).unwrap();
        let input = &session.inputs()[0];
        assert_eq!((input.name.as_str(), input.shape.as_slice()), ("x", &[Some(1), Some(2)][..]));
        assert_eq!(session.outputs(), ["y"]);

        let outputs = session.run([&Tensor::new("x", &[1, 2], vec![10.0, 1.0])]).unwrap();
        assert_eq!(outputs, [Tensor::new("y", &[1, 2], vec![13.0, 24.0])]);

        let misshapen = session.run([&Tensor::new("x", &[2, 2], vec![1.0])]);
        assert!(matches!(misshapen, Err(Error::Tensor { .. })));
        let misnamed = session.run([&Tensor::new("z", &[1, 2], vec![1.0, 2.0])]);
        assert!(misnamed.unwrap_err().to_string().contains("its inputs are x"));
        let integers = session.run([&Tensor::new("x", &[1, 2], vec![1_i64, 2])]);
        assert!(matches!(integers, Err(Error::Onnx { .. })));
        assert!(matches!(session.run([]), Err(Error::Onnx { .. })));
        assert!(matches!(options.from_bytes(b"not a model"), Err(Error::Onnx { .. })));
        assert!(matches!(options.open("/nowhere/model.onnx"), Err(Error::Io { .. })));
        let none = options.clone().threads(0).from_bytes(&model());
        assert!(matches!(none, Err(Error::Option { option: "threads", .. })));
    }
}

#[test]
fn truncated_models_are_errors_on_the_embedded_runtime() {
    let (model, options) = (model(), Session::options().runtime(Runtime::Embedded).threads(1));
    for end in 0..model.len() - 1 {
        if let Ok(session) = options.from_bytes(&model[..end]) {
            session.run([&Tensor::new("x", &[1, 2], vec![1.0, 2.0])]).ok();
        }
    }
}

/// As `MODEL`, but its one node is a `QLinearAdd`.
#[test]
fn operator_that_the_embedded_runtime_lacks_is_named_and_the_way_out_told() {
    let node = |bytes: &[u8]| bytes.windows(6).position(|window| window == b"MatMul").unwrap();
    let mut model = model();
    let at = node(&model);
    model[at..at + 6].copy_from_slice(b"QLinXY");
    let error = Session::options().runtime(Runtime::Embedded).from_bytes(&model).unwrap_err();
    assert!(error.to_string().contains("onnxruntime"), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("QLinXY"), "{cause}");
}

#[test]
fn runs_at_once_are_all_answered() {
    for options in runtimes() {
        let session = options.sessions(2).from_bytes(&model()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let session = &session;
                scope.spawn(move || {
                    for run in 0..50 {
                        let (x, y) = ((thread * 100 + run) as f32, run as f32);
                        let outputs = session.run([&Tensor::new("x", &[1, 2], vec![x, y])]).unwrap();
                        assert_eq!(outputs[0].values.floats().unwrap(), [x + 3.0 * y, 2.0 * x + 4.0 * y]);
                    }
                });
            }
        });
    }
}

#[test]
fn auto_takes_the_library_where_it_is_named() {
    let Some(options) = onnxruntime() else { return };
    let session = options.runtime(Runtime::Auto).from_bytes(&model()).unwrap();
    assert_eq!(session.runtime(), "onnxruntime");
}
