//! The demonstration model behind the facade.
use aic::{Aic, Config, DEMO_MODEL, Environment, Origin};

async fn demo(change: impl FnOnce(&mut Config)) -> Aic {
    let mut config = Config::default();
    config.providers.ollama.enabled = false;
    change(&mut config);
    Aic::builder()
        .config(config)
        .environment(Environment::default())
        .build()
        .await
        .expect("the demonstration model loads")
}

#[tokio::test]
async fn a_bare_laptop_answers_and_the_second_time_from_the_cache() {
    let ai = demo(|_| {}).await;

    let first = ai.ask("What is the capital of France?").await.unwrap();
    let again = ai.ask("What is the capital of France?").await.unwrap();

    assert!(first.text().contains("Paris"), "{first}");
    assert_eq!((first.provider.as_str(), first.origin.clone()), ("local", Origin::Model));
    assert!(again.origin.is_cache());
    let status = ai.status();
    assert!(status.model.as_ref().is_some_and(|model| model.tokens_per_second.is_some()), "{status}");
    ai.shutdown().await;
}

#[tokio::test]
async fn every_quantization_gives_the_same_short_fact() {
    for level in ["F16", "int8", "int4"] {
        let ai = demo(|config| config.model.quantization = Some(level.to_owned())).await;

        let answer = ai.ask("What is the capital of France?").await.unwrap();

        assert!(answer.text().contains("Paris"), "{level}: {answer}");
    }
}

#[tokio::test]
async fn a_vector_has_length_one_and_is_the_same_each_time() {
    let ai = demo(|_| {}).await;

    let (one, two) = (ai.embed("a blue sky").await.unwrap(), ai.embed("a blue sky").await.unwrap());

    assert_eq!(one, two);
    assert!((one.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4);
}

#[tokio::test]
async fn a_conversation_too_long_for_the_model_says_so() {
    let ai = demo(|config| config.model.context_length = Some(64)).await;

    let error = ai.ask("blue sky ".repeat(200)).await.unwrap_err().to_string();

    assert!(error.contains("context") || error.contains("long"), "{error}");
}

#[tokio::test]
async fn a_model_brought_in_memory_is_used() {
    let mut config = Config::default();
    config.providers.ollama.enabled = false;
    let builder = Aic::builder().config(config).environment(Environment::default()).model_bytes(DEMO_MODEL);

    let ai = builder.build().await.unwrap();

    assert!(ai.model().is_some() && ai.recommendation().is_some());
}

#[tokio::test]
async fn the_model_can_be_replaced_while_it_is_in_use_and_answers_are_kept_apart() {
    let ai = demo(|_| {}).await;
    let student = concat!(env!("CARGO_MANIFEST_DIR"), "/models/aic-demo-student-f16.gguf");
    let student = aic::quant::Model::open(student).unwrap();
    let question = "What is the capital of France?";
    assert_eq!(ai.ask(question).await.unwrap().origin, Origin::Model);

    let before = ai.model().unwrap().replace(student);

    assert_eq!(ai.ask(question).await.unwrap().origin, Origin::Model);
    assert!(ai.model().unwrap().current().info().parameters < before.info().parameters);
    assert!(ai.ask(question).await.unwrap().origin.is_cache());
}

#[tokio::test]
async fn a_candidate_answers_its_share_and_what_it_said_is_not_kept_beyond_the_trial() {
    let ai = demo(|_| {}).await;
    let model = ai.model().unwrap();
    let candidate =
        aic::quant::Model::options().dtype(aic::quant::DType::Q4_0).from_bytes(DEMO_MODEL).unwrap();

    model.try_out(candidate, 0.5, aic::quant::live::Limits::default()).unwrap();
    for number in 0..40 {
        ai.ask(format!("What is {number} plus 3?")).await.unwrap();
    }

    let (current, tried) = model.trial().unwrap().requests();
    assert_eq!(current + tried, 40);
    assert!((8..=32).contains(&tried), "{tried}");
    model.stop_trial();
    assert_eq!(ai.ask("What is 7 plus 3?").await.unwrap().origin, Origin::Model);
}
