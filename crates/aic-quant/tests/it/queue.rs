//! The queue at work: real files, a machine whose pressure the test decides.
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aic_quant::gguf::{File, Writer};
use aic_quant::queue::{
    Control, Event, Happening, Job, Outcome, Pressure, Priority, Quantizing, Queue, QueueBuilder, Readings,
    Runner, Status,
};
use aic_quant::{DType, Error, Progress, Result, TensorSource};

use crate::generated::Generated;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// A machine as busy as the test says.
#[derive(Debug, Default)]
struct Machine(Mutex<Readings>);

impl Machine {
    fn memory(&self, used: f64) {
        self.0.lock().unwrap().memory_used = Some(used);
    }
}

impl Pressure for Machine {
    fn readings(&self) -> Readings {
        *self.0.lock().unwrap()
    }
}

fn open(folder: &Path, runner: Arc<dyn Runner>, machine: &Arc<Machine>) -> Queue {
    builder(folder, runner, machine).open().unwrap()
}

fn builder(folder: &Path, runner: Arc<dyn Runner>, machine: &Arc<Machine>) -> QueueBuilder {
    let interval = Duration::from_millis(1);
    Queue::builder(folder.join("queue"), runner).pressure(machine.clone()).interval(interval)
}

/// A model of a few megabytes; `seed` makes it another.
fn write_model(path: &Path, rows: usize) {
    let model = Generated::new(&[("token_embd.weight", &[rows, 512]), ("blk.0.ffn_up.weight", &[3000, 512])]);
    let mut writer = Writer::new(model.metadata().clone());
    for tensor in model.tensors() {
        writer.tensor(&tensor.name, &tensor.shape, tensor.dtype).unwrap();
    }
    writer.save(path, |tensor| model.read(tensor)).unwrap();
}

fn job(folder: &Path, name: &str, recipe: &str) -> Job {
    let source = folder.join("source.gguf");
    if !source.exists() {
        write_model(&source, 700);
    }
    Job::new(source, folder.join(name), recipe.parse().unwrap())
}

fn ended(events: &Receiver<Event>) -> Status {
    loop {
        if let Happening::Ended { status } = events.recv_timeout(LONG).unwrap().what {
            return status;
        }
    }
}

fn wait_for(events: &Receiver<Event>, wanted: &Happening) {
    let same = |what: &Happening| std::mem::discriminant(what) == std::mem::discriminant(wanted);
    while !same(&events.recv_timeout(LONG).unwrap().what) {}
}

/// A runner that does nothing, at a pace the test sets: it says which job it begins, and then waits for a word.
struct Slow {
    begun: Mutex<Sender<PathBuf>>,
    word: Mutex<Receiver<()>>,
}

impl Slow {
    fn new() -> (Arc<Self>, Receiver<PathBuf>, Sender<()>) {
        let (begun, beginnings) = channel();
        let (say, word) = channel();
        (Arc::new(Self { begun: Mutex::new(begun), word: Mutex::new(word) }), beginnings, say)
    }
}

impl Runner for Slow {
    fn run(&self, job: &Job, control: &mut Control<'_>) -> Result<Outcome> {
        self.begun.lock().unwrap().send(job.target.clone()).unwrap();
        loop {
            let progress = Progress { done_bytes: 1, total_bytes: 2, tensor: "x" };
            if control.progress(progress) == ControlFlow::Break(()) {
                return Err(Error::Stopped { what: "a test" });
            }
            if self.word.lock().unwrap().recv_timeout(Duration::from_millis(1)).is_ok() {
                return Ok(Outcome::Accepted { bytes_before: 2, bytes_after: 1 });
            }
        }
    }
}

#[test]
fn queued_model_is_quantized_and_asking_again_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), Arc::new(Quantizing { threads: 1 }), &Arc::default());
    let events = queue.events();

    let id = queue.submit(job(folder.path(), "q8.gguf", "q8_0"), Priority::Normal).unwrap();

    assert!(matches!(ended(&events), Status::Accepted { .. }));
    let target = File::open(folder.path().join("q8.gguf")).unwrap();
    assert_eq!(target.tensors()[0].dtype, DType::Q8_0);
    let again = queue.submit(job(folder.path(), "q8.gguf", "int8"), Priority::High).unwrap();
    assert_eq!(again, id);
    assert!(matches!(queue.get(&id).unwrap().status, Status::Accepted { .. }));
    let stats = queue.stats();
    assert_eq!((stats.accepted, stats.waiting, stats.running), (1, 0, 0));
    assert!(stats.bytes_after < stats.bytes_before);
}

#[test]
fn same_content_under_another_name_is_the_same_job_and_other_content_another() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, _begun, _say) = Slow::new();
    let queue = open(folder.path(), slow, &Arc::default());
    let first = queue.submit(job(folder.path(), "out.gguf", "q8_0"), Priority::Low).unwrap();
    fs::copy(folder.path().join("source.gguf"), folder.path().join("copy.gguf")).unwrap();
    write_model(&folder.path().join("other.gguf"), 701);

    let submit = |source: &str| {
        let job =
            Job::new(folder.path().join(source), folder.path().join("out.gguf"), "q8_0".parse().unwrap());
        queue.submit(job, Priority::Low).unwrap()
    };

    assert_eq!(submit("copy.gguf"), first);
    assert_ne!(submit("other.gguf"), first);
    assert_eq!(queue.jobs().len(), 2);
}

#[test]
fn urgent_job_is_given_way_to() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, begun, say) = Slow::new();
    let queue = open(folder.path(), slow, &Arc::default());
    let next = || begun.recv_timeout(LONG).unwrap().file_name().unwrap().to_owned();

    queue.submit(job(folder.path(), "slow", "q8_0"), Priority::Normal).unwrap();
    assert_eq!(next(), "slow");
    queue.submit(job(folder.path(), "urgent", "q8_0"), Priority::High).unwrap();
    assert_eq!(next(), "urgent");
    say.send(()).unwrap();
    assert_eq!(next(), "slow");
}

#[test]
fn work_pauses_while_the_machine_is_pressed() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Arc::new(Machine::default());
    machine.memory(0.99);
    let queue = open(folder.path(), Arc::new(Quantizing { threads: 1 }), &machine);
    let events = queue.events();
    let id = queue.submit(job(folder.path(), "q8.gguf", "q8_0"), Priority::Normal).unwrap();

    wait_for(&events, &Happening::Paused { reason: String::new() });
    assert_eq!(queue.get(&id).unwrap().status, Status::Waiting);
    machine.memory(0.2);
    wait_for(&events, &Happening::Resumed);

    assert!(matches!(ended(&events), Status::Accepted { .. }));
    assert_eq!(queue.stats().pauses, 1);
}

#[test]
fn running_job_pauses_and_can_be_cancelled_while_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Arc::new(Machine::default());
    let (slow, begun, _say) = Slow::new();
    let queue = open(folder.path(), slow, &machine);
    let events = queue.events();
    let id = queue.submit(job(folder.path(), "out", "q8_0"), Priority::Normal).unwrap();
    begun.recv_timeout(LONG).unwrap();

    machine.memory(0.99);
    wait_for(&events, &Happening::Paused { reason: String::new() });
    assert!(queue.cancel(&id).unwrap());

    assert_eq!(ended(&events), Status::Cancelled);
    assert!(!queue.cancel(&id).unwrap());
}

#[test]
fn closed_queue_goes_on_where_it_was_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, begun, _say) = Slow::new();
    let queue = open(folder.path(), slow, &Arc::default());
    let id = queue.submit(job(folder.path(), "q8.gguf", "q8_0"), Priority::Normal).unwrap();
    begun.recv_timeout(LONG).unwrap();
    let busy = builder(folder.path(), Arc::new(Quantizing::default()), &Arc::default()).open();
    assert!(matches!(busy, Err(Error::Busy { .. })));
    drop(queue);

    let machine = Arc::new(Machine::default());
    machine.memory(0.99);
    let queue = open(folder.path(), Arc::new(Quantizing::default()), &machine);
    assert_eq!(queue.get(&id).unwrap().status, Status::Waiting);
    let events = queue.events();
    machine.memory(0.1);
    assert!(matches!(ended(&events), Status::Accepted { .. }));
}

#[test]
fn failed_job_tells_why_and_the_next_one_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Arc::new(Machine::default());
    machine.memory(0.99);
    let queue = open(folder.path(), Arc::new(Quantizing { threads: 1 }), &machine);
    let events = queue.events();
    write_model(&folder.path().join("gone.gguf"), 100);
    let gone = Job::new(folder.path().join("gone.gguf"), folder.path().join("a"), "q8_0".parse().unwrap());
    queue.submit(gone, Priority::High).unwrap();
    fs::remove_file(folder.path().join("gone.gguf")).unwrap();
    queue.submit(job(folder.path(), "b", "q8_0"), Priority::Normal).unwrap();
    machine.memory(0.1);

    let Status::Failed { reason } = ended(&events) else { panic!("the source is gone") };
    assert!(reason.contains("gone.gguf"), "{reason}");
    assert!(matches!(ended(&events), Status::Accepted { .. }));
}

#[test]
fn damaged_file_of_jobs_is_put_aside_and_the_queue_begins_empty() {
    let folder = tempfile::tempdir().unwrap();
    let queue = folder.path().join("queue");
    fs::create_dir(&queue).unwrap();
    fs::write(queue.join("queue.json"), "{\"version\": 1, \"jobs\": [").unwrap();

    let opened = open(folder.path(), Arc::new(Quantizing::default()), &Arc::default());

    assert!(opened.jobs().is_empty());
    assert!(queue.join("queue.json.damaged").exists());
}

#[test]
fn job_without_a_source_is_refused_when_it_is_submitted() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), Arc::new(Quantizing::default()), &Arc::default());
    let job = Job::new(folder.path().join("none.gguf"), folder.path().join("out"), "q8_0".parse().unwrap());
    assert!(matches!(queue.submit(job, Priority::Normal), Err(Error::Io { action: "open", .. })));
}

/// A runner with a fault.
struct Faulty;

impl Runner for Faulty {
    fn run(&self, job: &Job, _control: &mut Control<'_>) -> Result<Outcome> {
        assert!(!job.target.ends_with("first"), "this runner does not like the first job");
        Ok(Outcome::Rejected { reason: "worse".to_owned() })
    }
}

#[test]
fn job_that_panics_is_a_failed_job_and_the_queue_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), Arc::new(Faulty), &Arc::default());
    let events = queue.events();

    queue.submit(job(folder.path(), "first", "q8_0"), Priority::High).unwrap();
    queue.submit(job(folder.path(), "second", "q8_0"), Priority::Low).unwrap();

    assert!(matches!(ended(&events), Status::Failed { reason } if reason.contains("panicked")));
    assert_eq!(ended(&events), Status::Rejected { reason: "worse".to_owned() });
}

#[cfg(feature = "engine")]
mod gated {
    use aic_quant::gate::{Gate, Limits};
    use aic_quant::queue::Gated;

    use super::*;

    const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../aic/models/aic-demo-f16.gguf");

    /// A text of what the model was trained on, a few times over.
    fn text() -> String {
        let turn = "<|user|>What is the capital of Portugal?<|end|><|assistant|>The capital of Portugal is Lisbon.<|end|>\
                    <|user|>14 + 7<|end|><|assistant|>14 + 7 = 21<|end|>";
        turn.repeat(30)
    }

    #[test]
    fn only_a_result_that_passes_the_gate_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let gate = Gate::new(text()).window(256).limits(Limits::balanced());
        let queue = open(folder.path(), Arc::new(Gated::new(gate)), &Arc::default());
        let events = queue.events();
        let submit = |name: &str| {
            let job = Job::new(MODEL, folder.path().join(name), name.parse().unwrap());
            queue.submit(job, Priority::Normal).unwrap();
        };

        submit("q8_0");
        assert!(matches!(ended(&events), Status::Accepted { .. }));
        submit("q2_k");
        let Status::Rejected { reason } = ended(&events) else {
            panic!("two bits are too few for this model")
        };

        assert!(reason.contains("KL") || reason.contains("divergence"), "{reason}");
        let names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(names.contains(&"q8_0".to_owned()) && names.len() == 2, "{names:?}");
    }
}
