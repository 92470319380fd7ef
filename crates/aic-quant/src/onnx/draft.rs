//! A model taken apart for rewriting: what its values are called, which of them are constants, and who reads them.
use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::external::{DataFiles, is_placed, set_location};
use super::file::ModelFile;
use super::message::type_name;
use super::output::{DataFile, write_model};
use super::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, data_type};
use crate::{Error, Result};

/// The first version of the format in which constants need not be inputs as well.
const FREE_INITIALIZERS: i64 = 4;

/// A model whose main graph is being rewritten.
pub(super) struct Draft {
    /// All but the main graph's initializers.
    model: ModelProto,
    constants: Vec<TensorProto>,
    /// Where in `constants` a name is.
    index: HashMap<String, usize>,
    /// Every name a value has anywhere in the model.
    names: HashSet<String>,
    readers: HashMap<String, usize>,
    /// Inputs of the main graph, which an initializer of the same name only gives a default.
    inputs: HashSet<String>,
    data: DataFiles,
    /// Where new constants go if the model came with external data.
    spill: Option<DataFile>,
    bytes_before: u64,
}

impl Draft {
    /// Takes a model apart; `output` is where it will be written.
    pub(super) fn new(file: ModelFile, output: &Path) -> Result<Self> {
        let ModelFile { mut model, data, bytes } = file;
        let mut external_bytes = 0;
        for_each_tensor(&mut model, &mut |tensor| {
            if is_placed(tensor) {
                return Err(Error::tensor(tensor.label(), "lies in a file without a name"));
            }
            if tensor.is_external() {
                external_bytes += tensor.bytes().unwrap_or(0);
            }
            Ok(())
        })?;
        if !model.training_info.is_empty() {
            let name = "training information".to_owned();
            return Err(Error::Unsupported {
                what: "ONNX model with",
                name,
                supported: "models for inference",
            });
        }
        let spill = (external_bytes > 0).then(|| DataFile::create(output)).transpose()?;
        let graph = graph_mut(&mut model);
        let constants = std::mem::take(&mut graph.initializer);
        let mut draft = Self {
            model,
            constants: Vec::new(),
            index: HashMap::new(),
            names: HashSet::new(),
            readers: HashMap::new(),
            inputs: HashSet::new(),
            data,
            spill,
            bytes_before: bytes + external_bytes,
        };
        constants.into_iter().try_for_each(|tensor| draft.keep(tensor))?;
        draft.free_initializers();
        draft.count();
        draft.hoist_constants()?;
        Ok(draft)
    }

    pub(super) fn bytes_before(&self) -> u64 {
        self.bytes_before
    }

    pub(super) fn graph(&self) -> &GraphProto {
        self.model.graph.as_ref().expect("a model without a graph is refused when read")
    }

    pub(super) fn graph_mut(&mut self) -> &mut GraphProto {
        graph_mut(&mut self.model)
    }

    /// The names of the model's own functions.
    pub(super) fn functions(&self) -> impl Iterator<Item = &str> {
        self.model.functions.iter().map(|function| function.name.as_deref().unwrap_or_default())
    }

    /// The tensor behind `name`, if it is the same in every run.
    pub(super) fn constant(&self, name: &str) -> Option<&TensorProto> {
        self.index.get(name).map(|at| &self.constants[*at]).filter(|_| !self.inputs.contains(name))
    }

    /// The bytes of all constants.
    pub(super) fn constant_bytes(&self) -> u64 {
        self.constants.iter().filter_map(TensorProto::bytes).sum()
    }

    /// How often a value is read, by nodes, bodies and as an output.
    pub(super) fn readers(&self, name: &str) -> usize {
        self.readers.get(name).copied().unwrap_or(0)
    }

    /// The numbers of a constant float tensor.
    ///
    /// # Errors
    /// [`Error::Tensor`] if it is not one, if the data does not fill its shape, or if a value is not finite.
    pub(super) fn floats(&mut self, name: &str) -> Result<Vec<f32>> {
        let values = self.any_floats(name)?;
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(at) => Err(Error::tensor(name, format!("has the value {} at {at}", values[at]))),
        }
    }

    /// As [`floats`](Self::floats), infinities and all.
    pub(super) fn any_floats(&mut self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.index.get(name).map(|at| &self.constants[*at]);
        let tensor = tensor.ok_or_else(|| Error::MissingTensor { name: name.to_owned() })?;
        if !tensor.is_float() {
            let problem = format!("is {}, expected float32", type_name(tensor.data_type));
            return Err(Error::tensor(name, problem));
        }
        let values = match (tensor.is_external(), &tensor.raw_data) {
            (true, _) => self.data.floats(tensor)?,
            (false, Some(raw)) => from_bytes(raw),
            (false, None) => tensor.float_data.clone(),
        };
        if tensor.elements() == Some(values.len() as u64) {
            return Ok(values);
        }
        let problem = format!("has {} values, which shape {:?} does not hold", values.len(), tensor.dims);
        Err(Error::tensor(name, problem))
    }

    /// A name that no value has yet.
    pub(super) fn fresh(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        let mut number = 1;
        while !self.names.insert(name.clone()) {
            number += 1;
            name = format!("{base}_{number}");
        }
        name
    }

    /// Adds a constant under a fresh name, which is returned.
    pub(super) fn put(&mut self, base: &str, dims: &[usize], data_type: i32, raw: Vec<u8>) -> Result<String> {
        let name = self.fresh(base);
        let mut tensor = TensorProto::new(&name, dims, data_type, raw);
        if let Some(spill) = &mut self.spill {
            spill.take(&mut tensor)?;
        }
        self.keep(tensor)?;
        Ok(name)
    }

    /// Adds a constant of floats under a fresh name.
    pub(super) fn put_floats(&mut self, base: &str, dims: &[usize], values: &[f32]) -> Result<String> {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.put(base, dims, data_type::FLOAT, raw)
    }

    /// Declares that the model uses the operators of `domain`.
    pub(super) fn import(&mut self, domain: &str) {
        let imports = &mut self.model.opset_import;
        if !imports.iter().any(|import| import.domain.as_deref() == Some(domain)) {
            imports.push(OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(1) });
        }
    }

    /// The model as it is now with other outputs, constants included: what calibration runs.
    ///
    /// External tensors keep their places, which are relative to the input's folder.
    pub(super) fn with_outputs(&self, names: &[String]) -> ModelProto {
        let mut model = self.model.clone();
        let graph = graph_mut(&mut model);
        graph.initializer.clone_from(&self.constants);
        graph.output = names
            .iter()
            .map(|name| super::proto::ValueInfoProto { name: Some(name.clone()), ..Default::default() })
            .collect();
        model
    }

    /// Writes the model without the constants that nothing reads any more, and returns the bytes of all files.
    pub(super) fn finish(mut self, output: &Path) -> Result<u64> {
        self.drop_unread();
        graph_mut(&mut self.model).initializer = std::mem::take(&mut self.constants);
        let Some(spill) = self.spill.take() else { return write_model(&self.model, output) };
        let data_bytes = self.spill_rest(spill)?;
        Ok(write_model(&self.model, output)? + data_bytes)
    }

    /// Moves what still lies in the input's data files to the output's.
    fn spill_rest(&mut self, mut spill: DataFile) -> Result<u64> {
        let data = &mut self.data;
        for_each_tensor(&mut self.model, &mut |tensor| {
            if tensor.is_external() && !is_placed(tensor) {
                spill.copy(tensor, data)?;
            }
            Ok(())
        })?;
        let (location, bytes) = spill.commit()?;
        for_each_tensor(&mut self.model, &mut |tensor| {
            set_location(tensor, &location);
            Ok(())
        })?;
        Ok(bytes)
    }

    fn keep(&mut self, tensor: TensorProto) -> Result<()> {
        let name = tensor.label().to_owned();
        if self.index.insert(name.clone(), self.constants.len()).is_some() {
            return Err(Error::tensor(name, "is there twice"));
        }
        self.names.insert(name);
        self.constants.push(tensor);
        Ok(())
    }

    /// Before version 4 every initializer had to be an input, too; from then on those are defaults that may be overridden.
    fn free_initializers(&mut self) {
        let constants = &self.index;
        if self.model.ir_version < Some(FREE_INITIALIZERS) {
            self.model.ir_version = Some(FREE_INITIALIZERS);
            let graph = graph_mut(&mut self.model);
            graph.input.retain(|input| !constants.contains_key(input.name.as_deref().unwrap_or_default()));
        }
        self.inputs = self.graph().input.iter().filter_map(|input| input.name.clone()).collect();
    }

    /// Counts names and readers anew.
    pub(super) fn count(&mut self) {
        let mut names = std::mem::take(&mut self.names);
        let mut readers = HashMap::new();
        count(self.graph(), &mut names, &mut readers);
        (self.names, self.readers) = (names, readers);
    }

    /// Makes initializers of the main graph's `Constant` nodes, whose tensors are then found like all others.
    fn hoist_constants(&mut self) -> Result<()> {
        let nodes = std::mem::take(&mut self.graph_mut().node);
        let mut kept = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            let tensor =
                if node.is("Constant") { node.attribute.iter_mut().find_map(|a| a.t.take()) } else { None };
            match (tensor, node.output.first()) {
                (Some(tensor), Some(name)) => {
                    self.keep(TensorProto { name: Some(name.clone()), ..*tensor })?;
                }
                _ => kept.push(node),
            }
        }
        self.graph_mut().node = kept;
        Ok(())
    }

    /// Drops constants that nothing reads, and transpositions of them that nothing reads.
    fn drop_unread(&mut self) {
        self.count();
        let mut nodes = std::mem::take(&mut self.graph_mut().node);
        let unread = |name: &String| self.readers(name) == 0;
        nodes.retain(|node| !(node.is("Transpose") && node.output.iter().all(unread)));
        self.graph_mut().node = nodes;
        self.count();
        let constants = std::mem::take(&mut self.constants);
        let wanted =
            |tensor: &TensorProto| self.readers(tensor.label()) > 0 || self.inputs.contains(tensor.label());
        self.constants = constants.into_iter().filter(wanted).collect();
        let constants: HashSet<&str> = self.constants.iter().map(TensorProto::label).collect();
        // What was said about the types of dropped constants no longer holds.
        let gone = self.index.keys().filter(|name| !constants.contains(name.as_str()));
        let gone: HashSet<String> = gone.cloned().collect();
        self.graph_mut()
            .value_info
            .retain(|value| value.name.as_ref().is_none_or(|name| !gone.contains(name)));
    }
}

fn graph_mut(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.get_or_insert_default()
}

/// Names every value of `graph` and its bodies, and counts who reads what.
fn count(graph: &GraphProto, names: &mut HashSet<String>, readers: &mut HashMap<String, usize>) {
    for value in graph.input.iter().filter_map(|value| value.name.as_ref()) {
        names.insert(value.clone());
    }
    for value in graph.output.iter().filter_map(|value| value.name.as_ref()) {
        *readers.entry(value.clone()).or_insert(0) += 1;
    }
    let annotations =
        graph.quantization_annotation.iter().flat_map(|note| &note.quant_parameter_tensor_names);
    for tensor in annotations.filter_map(|entry| entry.value.as_ref()) {
        *readers.entry(tensor.clone()).or_insert(0) += 1;
    }
    names.extend(graph.initializer.iter().filter_map(|tensor| tensor.name.clone()));
    names.extend(graph.sparse_initializer.iter().filter_map(|tensor| tensor.values.as_ref()?.name.clone()));
    for node in &graph.node {
        names.extend(node.output.iter().cloned());
        for input in &node.input {
            *readers.entry(input.clone()).or_insert(0) += 1;
        }
        node.bodies().for_each(|body| count(body, names, readers));
    }
}

/// The model with the data that lies beside the file `path` moved into it.
pub(super) fn with_data_inside(model: &ModelProto, path: &Path) -> Result<ModelProto> {
    let mut model = model.clone();
    let mut data = DataFiles::beside(path)?;
    for_each_tensor(&mut model, &mut |tensor| {
        if !tensor.is_external() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        data.copy(tensor, |slab| {
            bytes.extend_from_slice(slab);
            Ok(())
        })?;
        tensor.raw_data = Some(bytes);
        tensor.external_data.clear();
        tensor.data_location = None;
        Ok(())
    })?;
    Ok(model)
}

/// Visits every tensor of a model, wherever it hides.
fn for_each_tensor(
    model: &mut ModelProto,
    visit: &mut impl FnMut(&mut TensorProto) -> Result<()>,
) -> Result<()> {
    let training = model
        .training_info
        .iter_mut()
        .flat_map(|info| info.initialization.iter_mut().chain(&mut info.algorithm));
    model.graph.iter_mut().chain(training).try_for_each(|graph| tensors_of_graph(graph, visit))?;
    let functions = model.functions.iter_mut().flat_map(|function| &mut function.node);
    functions.into_iter().try_for_each(|node| tensors_of_node(node, visit))
}

fn tensors_of_graph(
    graph: &mut GraphProto,
    visit: &mut impl FnMut(&mut TensorProto) -> Result<()>,
) -> Result<()> {
    graph.initializer.iter_mut().try_for_each(&mut *visit)?;
    let sparse = graph.sparse_initializer.iter_mut();
    sparse
        .flat_map(|sparse| sparse.values.iter_mut().chain(&mut sparse.indices))
        .try_for_each(&mut *visit)?;
    graph.node.iter_mut().try_for_each(|node| tensors_of_node(node, visit))
}

fn tensors_of_node(
    node: &mut NodeProto,
    visit: &mut impl FnMut(&mut TensorProto) -> Result<()>,
) -> Result<()> {
    for attribute in &mut node.attribute {
        attribute.t.iter_mut().try_for_each(|tensor| visit(tensor))?;
        attribute.tensors.iter_mut().try_for_each(&mut *visit)?;
    }
    node.bodies_mut().try_for_each(|body| tensors_of_graph(body, visit))
}

fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}
