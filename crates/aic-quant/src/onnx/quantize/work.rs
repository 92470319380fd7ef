//! The model on the bench, what is asked of it, and what was done so far.
use std::collections::HashSet;
use std::mem;
use std::path::Path;
use std::time::Instant;

use regex::Regex;

use super::{Left, Options, QuantizedWeight, Report};
use crate::onnx::draft::Draft;
use crate::onnx::proto::{GraphProto, NodeProto, TensorProto};
use crate::{Progress, Result};

/// Tensors with fewer numbers stay as they are: they weigh nothing, and are often more than weights.
const SMALLEST: u64 = 256;

pub(super) struct Work<'a> {
    pub(super) draft: Draft,
    pub(super) options: &'a Options,
    pub(super) report: Report,
    exclude: Vec<Regex>,
    progress: &'a mut dyn FnMut(Progress<'_>),
    done_bytes: u64,
    total_bytes: u64,
    seen: HashSet<String>,
}

/// A way to rewrite the nodes of a model, one at a time, in the order they run.
pub(super) trait Pass {
    /// Puts what takes the place of `node` into `out`. Its bodies are rewritten already.
    fn node(&mut self, work: &mut Work<'_>, node: NodeProto, out: &mut Vec<NodeProto>) -> Result<()>;

    /// The nodes that follow are of a body, which sees what is outside and is not seen from there.
    fn enter(&mut self) {}

    /// The body that was entered last is done.
    fn leave(&mut self) {}
}

impl<'a> Work<'a> {
    pub(super) fn new(
        draft: Draft,
        options: &'a Options,
        progress: &'a mut dyn FnMut(Progress<'_>),
    ) -> Result<Self> {
        let report = Report { bytes_before: draft.bytes_before(), ..Report::default() };
        let total_bytes = draft.constant_bytes();
        let exclude = options.check()?;
        Ok(Self {
            draft,
            options,
            report,
            exclude,
            progress,
            done_bytes: 0,
            total_bytes,
            seen: HashSet::new(),
        })
    }

    /// Rewrites the main graph, and the bodies within it where the node holding them is met.
    pub(super) fn rewrite(&mut self, pass: &mut dyn Pass) -> Result<()> {
        let nodes = mem::take(&mut self.draft.graph_mut().node);
        let nodes = self.rewrite_nodes(pass, nodes)?;
        self.draft.graph_mut().node = nodes;
        Ok(())
    }

    fn rewrite_nodes(&mut self, pass: &mut dyn Pass, nodes: Vec<NodeProto>) -> Result<Vec<NodeProto>> {
        let mut out = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            for body in node.bodies_mut() {
                pass.enter();
                body.node = self.rewrite_nodes(pass, mem::take(&mut body.node))?;
                pass.leave();
                self.leave_body(body);
            }
            pass.node(self, node, &mut out)?;
        }
        Ok(out)
    }

    pub(super) fn is_excluded(&self, node: &NodeProto) -> bool {
        self.exclude.iter().any(|pattern| pattern.is_match(node.label()))
    }

    /// Whether the tensor is a float matrix or the like, worth making smaller.
    pub(super) fn is_weight(tensor: &TensorProto) -> bool {
        tensor.is_float() && tensor.dims.len() >= 2 && tensor.elements() >= Some(SMALLEST)
    }

    /// Whether a node reads a constant that is worth making smaller.
    pub(super) fn has_weights(&self, node: &NodeProto) -> bool {
        let weight = |name: &String| self.draft.constant(name).is_some_and(Self::is_weight);
        node.input.iter().any(weight)
    }

    /// Notes why a node stays as it is.
    pub(super) fn left(&mut self, node: &NodeProto, reason: impl Into<String>) {
        let (node, op) = (node.label().to_owned(), node.op().to_owned());
        tracing::debug!(node, op, "node left as it is");
        self.report.left.push(Left { node, op, reason: reason.into() });
    }

    /// Notes that a tensor became smaller, once.
    pub(super) fn done(&mut self, weight: QuantizedWeight) {
        if self.seen.insert(weight.tensor.clone()) {
            self.done_bytes += weight.bytes_before;
        }
        let tensor = weight.tensor.clone();
        self.report.weights.push(weight);
        self.tell(&tensor);
    }

    /// Notes that the bodies of functions stay as they are.
    pub(super) fn leave_functions(&mut self) {
        let left = |name: &str| Left {
            node: name.to_owned(),
            op: name.to_owned(),
            reason: "the body of a function of the model".to_owned(),
        };
        self.report.left.extend(self.draft.functions().map(left));
    }

    /// Writes the model.
    pub(super) fn finish(mut self, output: &Path, started: Instant) -> Result<Report> {
        self.report.bytes_after = self.draft.finish(output)?;
        self.report.elapsed = started.elapsed();
        let (done_bytes, total_bytes) = (self.total_bytes, self.total_bytes);
        (self.progress)(Progress { done_bytes, total_bytes, tensor: "" });
        Ok(self.report)
    }

    fn tell(&mut self, tensor: &str) {
        (self.progress)(Progress { done_bytes: self.done_bytes, total_bytes: self.total_bytes, tensor });
    }

    /// Notes the weights that a body has of its own.
    fn leave_body(&mut self, body: &GraphProto) {
        let constants = body.node.iter().filter(|node| node.is("Constant"));
        let tensor = |node: &NodeProto| {
            node.attribute("value").and_then(|value| value.t.as_deref()).is_some_and(Self::is_weight)
        };
        let held = constants.filter(|node| tensor(node));
        let own = body.initializer.iter().filter(|tensor| Self::is_weight(tensor)).map(TensorProto::label);
        let names: Vec<&str> = own.chain(held.map(NodeProto::label)).collect();
        self.report.left.extend(names.into_iter().map(|name| Left {
            node: name.to_owned(),
            op: "Constant".to_owned(),
            reason: "the weights belong to a branch or loop body".to_owned(),
        }));
    }
}
