use std::time::Duration;

use super::model::{Form, ModelSpec};
use crate::{DType, Device};

/// The forms a model may take, best first: what it gives up under pressure, and in what order.
///
/// On each device, and with each variant there: without the prefix cache, with half the context and half of that down to the
/// least, with keys and values in Q8_0, then in Q4_0. After the smallest variant comes the next device, all over again. Below
/// the last rung a model is refused.
///
/// A step down is taken at once. A step up must have been possible for some time without a break, and with room to spare, so
/// that a model does not go up and down with every breath of its neighbours.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ladder {
    rungs: Vec<Form>,
    /// Since when a better rung has been free.
    roomy_since: Option<Duration>,
}

impl Ladder {
    pub(super) fn new(spec: &ModelSpec) -> Self {
        let mut rungs = Vec::new();
        for &device in &spec.devices {
            for variant in &spec.variants {
                rungs.extend(steps(spec, device, &variant.name));
            }
        }
        Self { rungs, roomy_since: None }
    }

    /// All rungs, best first.
    pub(super) fn rungs(&self) -> &[Form] {
        &self.rungs
    }

    /// The rungs above `form`, best first; all of them if it is none of the ladder.
    pub(super) fn above(&self, form: &Form) -> &[Form] {
        &self.rungs[..self.position(form).unwrap_or(self.rungs.len())]
    }

    /// The rungs below `form`, best first.
    pub(super) fn below(&self, form: &Form) -> &[Form] {
        self.position(form).map_or(&[], |at| &self.rungs[at + 1..])
    }

    fn position(&self, form: &Form) -> Option<usize> {
        self.rungs.iter().position(|rung| rung == form)
    }

    /// Whether a step up may be taken `now`, if one is possible now or not (`roomy`).
    pub(super) fn may_climb(&mut self, roomy: bool, now: Duration, dwell: Duration) -> bool {
        if !roomy {
            self.roomy_since = None;
            return false;
        }
        let since = *self.roomy_since.get_or_insert(now);
        let may = now.saturating_sub(since) >= dwell;
        if may {
            self.roomy_since = None;
        }
        may
    }
}

/// The rungs of one variant on one device.
fn steps(spec: &ModelSpec, device: Device, variant: &str) -> Vec<Form> {
    let form = |context, cache, prefix_bytes| Form {
        device,
        variant: variant.to_owned(),
        context,
        cache,
        prefix_bytes,
    };
    let mut steps = vec![form(spec.context, DType::F16, spec.prefix_bytes)];
    if spec.prefix_bytes > 0 {
        steps.push(form(spec.context, DType::F16, 0));
    }
    let mut context = spec.context;
    while context > spec.least_context && spec.cache.is_some() {
        context = (context / 2).max(spec.least_context);
        steps.push(form(context, DType::F16, 0));
    }
    if spec.cache.is_some_and(|cache| cache.is_quantizable()) {
        steps.extend([DType::Q8_0, DType::Q4_0].map(|cache| form(context, cache, 0)));
    }
    steps
}

/// What `form` lacks beside the best form with the same weights, as a share of the model's worth.
///
/// By judgement, not by measurement: a prefix can be read again, half a context serves most requests, and keys and values of
/// eight bits can hardly be told from sixteen.
pub(super) fn loss(spec: &ModelSpec, form: &Form) -> f64 {
    let prefix = if form.prefix_bytes < spec.prefix_bytes { 0.02 } else { 0.0 };
    let halvings = (spec.context.max(1) as f64 / form.context.max(1) as f64).log2();
    let cache = match form.cache {
        DType::Q8_0 => 0.05,
        DType::Q4_0 => 0.2,
        _ => 0.0,
    };
    prefix + 0.1 * halvings + cache
}

#[cfg(test)]
mod tests {
    use super::super::model::CacheShape;
    use super::*;

    fn spec() -> ModelSpec {
        let cache =
            CacheShape { layers: 32, heads: 8, head_size: 128, sequences: 1, ..CacheShape::default() };
        ModelSpec::new("chat")
            .variant("q8_0", 8 << 30)
            .variant("q4_k", 4 << 30)
            .cache(cache, 8192, 2048)
            .prefix_bytes(1 << 28)
            .devices([Device::Cuda(0), Device::Cpu])
    }

    #[test]
    fn rungs_give_up_prefixes_context_precision_variant_and_device_in_this_order() {
        let rungs = Ladder::new(&spec());
        let rungs: Vec<String> = rungs.rungs().iter().map(ToString::to_string).collect();

        let step = |variant: &str, device: &str| {
            [
                "context 8192 in F16, 0.25 GiB of prefixes",
                "context 8192 in F16",
                "context 4096 in F16",
                "context 2048 in F16",
                "context 2048 in Q8_0",
                "context 2048 in Q4_0",
            ]
            .map(|rest| format!("{variant} on {device}, {rest}"))
        };
        let expected =
            [step("q8_0", "cuda:0"), step("q4_k", "cuda:0"), step("q8_0", "cpu"), step("q4_k", "cpu")];
        assert_eq!(rungs, expected.concat());
    }

    #[test]
    fn every_step_with_the_same_weights_takes_less_and_loses_more() {
        let spec = spec();
        for pair in Ladder::new(&spec).rungs().windows(2).filter(|pair| pair[0].same_weights(&pair[1])) {
            assert!(spec.bytes(&pair[1]) < spec.bytes(&pair[0]), "{} {}", pair[0], pair[1]);
            assert!(loss(&spec, &pair[1]) > loss(&spec, &pair[0]), "{} {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn heads_that_do_not_divide_into_blocks_keep_their_precision() {
        let cache =
            CacheShape { layers: 32, heads: 32, head_size: 80, sequences: 1, ..CacheShape::default() };
        let spec = ModelSpec::new("phi").variant("f16", 1).cache(cache, 2048, 2048);
        assert_eq!(Ladder::new(&spec).rungs().len(), 1);
    }

    #[test]
    fn climbing_waits_until_there_has_been_room_for_the_whole_time() {
        let mut ladder = Ladder::new(&spec());
        let second = Duration::from_secs;
        let mut may = |roomy, at| ladder.may_climb(roomy, second(at), second(60));

        assert!(!may(true, 0));
        assert!(!may(true, 59));
        assert!(!may(false, 60));
        assert!(!may(true, 61));
        assert!(!may(true, 120));
        assert!(may(true, 121));
        assert!(!may(true, 122), "the next step waits again");
    }

    #[test]
    fn rungs_above_and_below_a_form_are_told_apart() {
        let ladder = Ladder::new(&spec());
        let rungs = ladder.rungs();
        assert_eq!(ladder.above(&rungs[0]), []);
        assert_eq!(ladder.above(&rungs[3]), &rungs[..3]);
        assert_eq!(ladder.below(&rungs[22]), &rungs[23..]);
        let foreign = Form { variant: "gone".to_owned(), ..rungs[0].clone() };
        assert_eq!(ladder.above(&foreign), rungs);
        assert_eq!(ladder.below(&foreign), []);
    }
}
