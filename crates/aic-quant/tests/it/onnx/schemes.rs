use std::fs;

use aic_quant::onnx::{Calibration, Options, Report, Scheme, Tensor, Values, WeightRange};

use super::model::{Model, onnxruntime, relative};

fn check(model: &Model, scheme: &Scheme, options: &Options, limit: f64) -> Option<Report> {
    let (error, report) = model.error(scheme, options)?;
    eprintln!("{:?}: error {error:.4}, {:.3} saved", model.path().file_name(), report.saved());
    assert!(error <= limit, "{error} with {report:?}");
    Some(report)
}

fn calibration(model: &Model) -> Calibration {
    let samples = (0..16).map(|seed| model.inputs(seed)).collect();
    onnxruntime().into_iter().fold(Calibration::new(samples), Calibration::session)
}

fn counted(model: &Model, text: &str) -> usize {
    let bytes = fs::read(model.output()).unwrap();
    bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
}

#[test]
fn dynamic_int8_answers_nearly_as_before_in_every_range() {
    for (range, limit) in
        [(WeightRange::Unsigned, 0.02), (WeightRange::SevenBits, 0.03), (WeightRange::Signed, 0.15)]
    {
        let options = Options::default().range(range);
        for model in [Model::mlp(), Model::attention(), Model::branch(), Model::conv()] {
            let Some(report) = check(&model, &Scheme::DynamicInt8, &options, limit) else { return };
            assert!(report.weights.iter().all(|weight| weight.error < 0.02), "{report:?}");
        }
    }
}

#[test]
fn products_of_one_input_share_its_quantization() {
    let model = Model::attention();

    let report = model.quantize(&Scheme::DynamicInt8, &Options::default()).unwrap();

    assert_eq!(report.weights.len(), 4);
    assert_eq!(report.left, []);
    // One for query, key and value, one for the output; each node says its operator in its name, too.
    assert_eq!(counted(&model, "DynamicQuantizeLinear"), 2 * 2);
}

#[test]
fn table_that_is_also_the_output_layer_is_stored_once_in_a_quarter() {
    let model = Model::tied();

    let Some(report) = check(&model, &Scheme::DynamicInt8, &Options::default(), 0.04) else { return };

    assert!(report.saved() > 0.70, "{report}");
    assert_eq!(report.weights.iter().filter(|weight| weight.tensor == "table").count(), 1);
}

/// What a model for many languages saves against half floats: 29 % if only its products are quantized, and half with its table.
#[test]
fn against_half_floats_embeddings_are_the_difference_between_a_third_and_a_half() {
    let model = Model::tied();
    let bytes =
        |scheme: Scheme, options: Options| model.quantize(&scheme, &options).unwrap().bytes_after as f64;

    let halves = bytes(Scheme::Float16, Options::default());
    let products = Options::default().embeddings(false).exclude("^head$");
    // The table then stays as it was, and half of that is what it has in half floats.
    let table = 2700.0 * 256.0 * 2.0;
    let without = 1.0 - (bytes(Scheme::DynamicInt8, products) - table) / halves;
    let with = 1.0 - bytes(Scheme::DynamicInt8, Options::default()) / halves;

    assert!((0.26..0.30).contains(&without), "{without}");
    assert!((0.46..0.51).contains(&with), "{with}");
}

#[test]
fn int4_answers_as_well_as_four_bits_can() {
    for (options, limit) in [
        (Options::default(), 0.12),
        (Options::default().symmetric(false), 0.12),
        (Options::default().block(16), 0.11),
    ] {
        for model in [Model::mlp(), Model::attention(), Model::branch()] {
            let Some(report) = check(&model, &Scheme::Int4, &options, limit) else { return };
            assert!(report.weights.iter().all(|weight| weight.error < 0.1), "{report:?}");
        }
    }
}

#[test]
fn int4_keeps_a_tied_table_in_8_bits_and_saves_more_than_int8() {
    let model = Model::tied();
    let Some(report) = check(&model, &Scheme::Int4, &Options::default(), 0.25) else { return };

    assert!(report.saved() > 0.78, "{report}");
}

#[test]
fn float16_answers_as_before_and_halves_the_model() {
    for model in [Model::mlp(), Model::attention(), Model::conv(), Model::tied()] {
        let Some(report) = check(&model, &Scheme::Float16, &Options::default(), 0.002) else { return };
        assert_eq!(report.left, []);
        assert!(report.saved() > 0.4, "{report}");
    }
    // A norm of numbers whose squares half floats do not hold, written out in single steps.
    let norm = Model::norm();
    let Some(report) = check(&norm, &Scheme::Float16, &Options::default(), 0.003) else { return };
    assert_eq!(report.left, []);
    assert_eq!(counted(&norm, "MatMul"), 2);
    // Bodies keep 32 bits, and so do the weights they read.
    check(&Model::branch(), &Scheme::Float16, &Options::default(), 1e-6);
}

#[test]
fn float16_inputs_and_outputs_are_halves_where_asked_for() {
    let Some(options) = onnxruntime() else { return };
    let model = Model::mlp();
    let before = options.open(model.path()).unwrap().run(&model.inputs(0)).unwrap();

    model.quantize(&Scheme::Float16, &Options::default().keep_io_types(false)).unwrap();

    assert_eq!(counted(&model, "Cast"), 0);
    let after = options.open(model.output()).unwrap().run(&model.inputs(0)).unwrap();
    assert!(relative(before[0].values.floats().unwrap(), after[0].values.floats().unwrap()) < 0.002);
}

#[test]
fn static_int8_answers_nearly_as_before_with_either_kind_of_range() {
    for model in [Model::mlp(), Model::conv(), Model::attention()] {
        for percentile in [100.0, 99.99] {
            let scheme = Scheme::StaticInt8(calibration(&model).percentile(percentile));
            let Some(report) = check(&model, &scheme, &Options::default(), 0.06) else { return };
            assert!(report.weights.len() >= 2, "{report:?}");
        }
    }
}

#[test]
fn weights_of_a_branch_stay_and_are_told() {
    let model = Model::branch();

    let report = model.quantize(&Scheme::DynamicInt8, &Options::default()).unwrap();

    assert_eq!(report.weights.iter().map(|weight| weight.tensor.as_str()).collect::<Vec<_>>(), ["w"]);
    assert_eq!(report.left.iter().map(|left| left.node.as_str()).collect::<Vec<_>>(), ["own"]);
    assert!(report.left[0].reason.contains("branch"), "{report:?}");
}

#[test]
fn axes_of_an_old_operator_set_become_inputs_on_the_way_to_a_newer() {
    let model = Model::norm();
    // Enough that few numbers of later inputs are beyond all that were met, which softmax would make much of.
    let samples = (0..64).map(|seed| model.inputs(seed)).collect();
    let Some(options) = onnxruntime() else { return };

    let scheme = Scheme::StaticInt8(Calibration::new(samples).session(options));

    check(&model, &scheme, &Options::default(), 0.2);
    assert!(counted(&model, "axes") > 0);
}

#[test]
fn excluded_nodes_stay_and_are_told() {
    let model = Model::mlp();

    let report = model.quantize(&Scheme::DynamicInt8, &Options::default().exclude("^sec")).unwrap();

    assert_eq!(report.weights.len(), 1);
    assert_eq!((report.left[0].node.as_str(), report.left[0].op.as_str()), ("second", "MatMul"));
}

#[test]
fn progress_ends_where_everything_is_done() {
    let model = Model::tied();
    let mut seen = Vec::new();

    aic_quant::onnx::quantize(model.path(), model.output(), &Scheme::Int4, &Options::default(), |progress| {
        seen.push((progress.done_bytes, progress.total_bytes));
    })
    .unwrap();

    assert!(seen.is_sorted());
    assert!(seen.len() > 10 && seen.last().is_some_and(|(done, total)| done == total), "{seen:?}");
}

#[test]
fn external_data_is_written_beside_the_output_under_a_name_of_its_content() {
    let model = Model::attention();
    let names = || -> Vec<String> {
        let files = fs::read_dir(model.folder()).unwrap().map(|file| file.unwrap().file_name());
        files.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with("output")).collect()
    };

    model.quantize(&Scheme::DynamicInt8, &Options::default()).unwrap();
    let first = names();
    model.quantize(&Scheme::DynamicInt8, &Options::default()).unwrap();

    assert_eq!(first.len(), 2, "{first:?}");
    assert_eq!(first, names());
}

#[test]
fn model_may_be_replaced_by_its_smaller_self() {
    let Some(options) = onnxruntime() else { return };
    let model = Model::attention();
    let run = || options.open(model.path()).unwrap().run(&model.inputs(1)).unwrap().remove(0);
    let before = run();

    aic_quant::onnx::quantize(model.path(), model.path(), &Scheme::DynamicInt8, &Options::default(), |_| {})
        .unwrap();

    assert!(relative(before.values.floats().unwrap(), run().values.floats().unwrap()) < 0.02);
}

#[test]
fn values_of_other_types_go_in_and_out() {
    assert_eq!(Tensor::new("ids", &[2], vec![1_i64, 2]).values, Values::I64(vec![1, 2]));
    assert_eq!(Values::from(vec![true]).floats(), None);
    assert_eq!(Values::from(vec![1_i32, 2]).len(), 2);
}
