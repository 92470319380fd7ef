use crate::onnx::folder::Folder;
use crate::onnx::{Session, SessionOptions, Tensor, Values};
use crate::{Error, Result};

const PAST: &str = "past_key_values.";
const PRESENT: &str = "present.";

/// A decoder with its cache of keys and values, in one of the two forms that `optimum` exports.
#[derive(Debug)]
pub(in crate::onnx) struct Decoder {
    /// Starts an answer.
    first: Session,
    /// Goes on with one; `None` if the first does both.
    next: Option<Session>,
}

/// What the decoder knows about the answers being made, a row for each.
#[derive(Clone, Debug)]
pub(in crate::onnx) struct State {
    /// The encoder's output, `[rows, positions, features]`.
    states: Tensor,
    /// Which of its positions are no padding, `[rows, positions]`; `None` if all are.
    mask: Option<Tensor>,
    /// Keys and values by the names that the decoder wants them by; empty at the start.
    cache: Vec<Tensor>,
    /// The input that each row is about.
    owners: Vec<usize>,
}

/// The scores of the token after the last, for each row.
#[derive(Debug)]
pub(in crate::onnx) struct Logits {
    pub(in crate::onnx) values: Vec<f32>,
    pub(in crate::onnx) vocabulary: usize,
}

impl Decoder {
    pub(in crate::onnx) fn open(folder: &Folder<'_>, options: &SessionOptions) -> Result<Self> {
        if folder.find("decoder_model_merged.onnx").is_some() {
            return Ok(Self { first: folder.session("decoder_model_merged.onnx", options)?, next: None });
        }
        if folder.find("decoder_with_past_model.onnx").is_none() {
            return Err(folder.lacks(
                "a folder without decoder_model_merged.onnx and decoder_with_past_model.onnx",
                "export the model with optimum and a task that ends in -with-past",
            ));
        }
        let next = folder.session("decoder_with_past_model.onnx", options)?;
        Ok(Self { first: folder.session("decoder_model.onnx", options)?, next: Some(next) })
    }

    /// Reads the `tokens` that follow, the same number for each row, and returns the scores of what comes next.
    pub(in crate::onnx) fn step(&self, state: &mut State, tokens: &[&[u32]]) -> Result<Logits> {
        let starts = state.cache.is_empty();
        let session = self.next.as_ref().filter(|_| !starts).unwrap_or(&self.first);
        let made = made(session, state, tokens)?;
        let inputs = session.inputs().iter().filter_map(|input| {
            let known = [Some(&state.states), state.mask.as_ref()].into_iter().flatten().chain(&state.cache);
            made.iter().chain(known).find(|tensor| tensor.name == input.name)
        });
        let outputs = session.run(inputs)?;
        let mut logits = None;
        for mut output in outputs {
            if output.name == "logits" {
                logits = Some(output);
            } else if let Some(name) = output.name.strip_prefix(PRESENT) {
                output.name = format!("{PAST}{name}");
                state.remember(output, starts);
            }
        }
        last(logits, state.owners.len())
    }
}

impl State {
    /// The state before the first token, about the encoder's output for `inputs` inputs and the mask it was made with.
    pub(in crate::onnx) fn new(outputs: Vec<Tensor>, mask: Option<Tensor>, inputs: usize) -> Result<Self> {
        let missing = || Error::MissingTensor { name: "last_hidden_state".to_owned() };
        let mut states = outputs.into_iter().next().ok_or_else(missing)?;
        if states.shape.len() != 3 || states.shape[0] != inputs {
            let problem = format!("has the shape {:?} for {inputs} inputs", states.shape);
            return Err(Error::tensor(states.name, problem));
        }
        states.name = "encoder_hidden_states".to_owned();
        let rename = |mask: Tensor| Tensor { name: "encoder_attention_mask".to_owned(), ..mask };
        Ok(Self { states, mask: mask.map(rename), cache: Vec::new(), owners: (0..inputs).collect() })
    }

    /// How many answers are being made.
    pub(in crate::onnx) fn rows(&self) -> usize {
        self.owners.len()
    }

    /// Keeps only `rows`, in that order; a row can be kept more than once.
    pub(in crate::onnx) fn select(&mut self, rows: &[usize]) -> Result<()> {
        let owners: Vec<usize> = rows.iter().map(|row| self.owners[*row]).collect();
        // What came of the encoder is the same for all answers to one input.
        let moved = owners != self.owners;
        let encoded = [Some(&mut self.states), self.mask.as_mut()].into_iter().flatten();
        let (from_encoder, own): (Vec<_>, Vec<_>) =
            self.cache.iter_mut().partition(|tensor| tensor.name.contains(".encoder."));
        if moved {
            encoded.chain(from_encoder).try_for_each(|tensor| gather(tensor, rows))?;
        }
        if !rows.iter().copied().eq(0..self.owners.len()) {
            own.into_iter().try_for_each(|tensor| gather(tensor, rows))?;
        }
        self.owners = owners;
        Ok(())
    }

    /// Keeps what the decoder put out for its next step. What came of the encoder does not change, and is put out only, or
    /// only in earnest, at the start.
    fn remember(&mut self, tensor: Tensor, starts: bool) {
        match self.cache.iter_mut().find(|known| known.name == tensor.name) {
            _ if starts => self.cache.push(tensor),
            Some(known) if !tensor.name.contains(".encoder.") => *known = tensor,
            Some(_) | None => {}
        }
    }
}

/// The inputs that are made anew for a step.
fn made(session: &Session, state: &State, tokens: &[&[u32]]) -> Result<Vec<Tensor>> {
    let (rows, width) = (tokens.len(), tokens.first().map_or(0, |tokens| tokens.len()));
    let starts = state.cache.is_empty();
    let mut made = Vec::new();
    for input in session.inputs() {
        let name = input.name.as_str();
        let known = state.cache.iter().any(|tensor| tensor.name == name);
        made.push(match name {
            "input_ids" | "decoder_input_ids" => {
                let ids: Vec<i64> =
                    tokens.iter().flat_map(|row| row.iter().map(|id| i64::from(*id))).collect();
                Tensor::new(name, &[rows, width], ids)
            }
            "use_cache_branch" => Tensor::new(name, &[1], vec![!starts]),
            // Positions are counted from what is cached.
            "cache_position" => {
                let past = state.cache.iter().find(|tensor| tensor.name.contains(".decoder."));
                let past = past.and_then(|tensor| tensor.shape.get(2)).copied().unwrap_or(0) as i64;
                Tensor::new(name, &[width], (past..past + width as i64).collect::<Vec<_>>())
            }
            "encoder_hidden_states" => continue,
            // An export may want a mask although nothing is ever padded.
            "encoder_attention_mask" if state.mask.is_some() => continue,
            "encoder_attention_mask" => {
                let shape = [rows, state.states.shape.get(1).copied().unwrap_or(0)];
                Tensor::new(name, &shape, vec![1_i64; shape[0] * shape[1]])
            }
            _ if known => continue,
            _ if name.starts_with(PAST) && starts => {
                Tensor::new(name, &empty(name, &input.shape, rows)?, vec![0.0; 0])
            }
            _ => {
                return Err(Error::tensor(
                    name,
                    "is an input that decoders of translation and speech models do not have",
                ));
            }
        });
    }
    Ok(made)
}

/// The shape of a cache with nothing in it: `[rows, heads, 0, head size]`.
fn empty(name: &str, shape: &[Option<usize>], rows: usize) -> Result<[usize; 4]> {
    match shape {
        [_, Some(heads), _, Some(size)] => Ok([rows, *heads, 0, *size]),
        _ => Err(Error::tensor(
            name,
            format!("has the shape {shape:?}, which does not say how many heads of which size"),
        )),
    }
}

/// The scores at the last position: `[rows, positions, vocabulary]` in, `[rows, vocabulary]` out.
fn last(logits: Option<Tensor>, rows: usize) -> Result<Logits> {
    let logits = logits.ok_or_else(|| Error::MissingTensor { name: "logits".to_owned() })?;
    let (&[found, positions, vocabulary], Values::F32(values)) = (logits.shape.as_slice(), &logits.values)
    else {
        return Err(Error::tensor(
            "logits",
            format!("has the shape {:?}, expected three dimensions of floats", logits.shape),
        ));
    };
    if found != rows || positions == 0 || vocabulary == 0 {
        return Err(Error::tensor("logits", format!("has the shape {:?} for {rows} answers", logits.shape)));
    }
    let row = |row: &[f32]| row[(positions - 1) * vocabulary..].to_vec();
    Ok(Logits { values: values.chunks_exact(positions * vocabulary).flat_map(row).collect(), vocabulary })
}

fn gather(tensor: &mut Tensor, rows: &[usize]) -> Result<()> {
    let count = tensor.shape.first().copied().unwrap_or(0);
    if rows.iter().any(|row| *row >= count) {
        return Err(Error::tensor(&tensor.name, format!("has {count} rows, fewer than there are answers")));
    }
    tensor.values = tensor.values.rows(tensor.values.len() / count.max(1), rows);
    if let Some(first) = tensor.shape.first_mut() {
        *first = rows.len();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let states = Tensor::new("last_hidden_state", &[2, 1, 2], vec![1.0, 2.0, 3.0, 4.0]);
        let mask = Tensor::new("attention_mask", &[2, 1], vec![1_i64, 0]);
        let mut state = State::new(vec![states], Some(mask), 2).unwrap();
        state.remember(Tensor::new("past_key_values.0.decoder.key", &[2, 1], vec![5.0, 6.0]), true);
        state.remember(Tensor::new("past_key_values.0.encoder.key", &[2, 1], vec![7.0, 8.0]), true);
        state
    }

    #[test]
    fn selected_rows_are_those_of_all_that_is_known() {
        let mut state = state();
        state.select(&[1, 1, 0]).unwrap();
        assert_eq!(state.states.values, Values::from(vec![3.0, 4.0, 3.0, 4.0, 1.0, 2.0]));
        assert_eq!(state.mask.as_ref().unwrap().values, Values::from(vec![0_i64, 0, 1]));
        assert_eq!(
            state.cache[0],
            Tensor::new("past_key_values.0.decoder.key", &[3, 1], vec![6.0, 6.0, 5.0])
        );
        assert_eq!(state.cache[1].values, Values::from(vec![8.0, 8.0, 7.0]));
        assert_eq!(state.owners, [1, 1, 0]);

        state.select(&[1, 0]).unwrap();
        assert_eq!(state.owners, [1, 1]);
        state.select(&[]).unwrap();
        assert_eq!(state.rows(), 0);
    }

    #[test]
    fn what_came_of_the_encoder_stays_and_the_rest_is_replaced() {
        let mut state = state();
        state.remember(Tensor::new("past_key_values.0.decoder.key", &[2, 2], vec![1.0; 4]), false);
        state.remember(Tensor::new("past_key_values.0.encoder.key", &[0, 1], vec![0.0; 0]), false);
        assert_eq!(state.cache[0].shape, [2, 2]);
        assert_eq!(state.cache[1].shape, [2, 1]);
    }

    #[test]
    fn encoder_that_answers_about_other_inputs_is_an_error() {
        let states = || Tensor::new("last_hidden_state", &[2, 1, 2], vec![0.0; 4]);
        assert!(matches!(State::new(vec![states()], None, 3), Err(Error::Tensor { .. })));
        assert!(matches!(State::new(vec![], None, 3), Err(Error::MissingTensor { .. })));
    }

    #[test]
    fn cache_with_fewer_rows_than_answers_is_an_error() {
        let mut state = state();
        state.remember(Tensor::new("past_key_values.0.decoder.key", &[1, 1], vec![1.0]), false);
        assert!(matches!(state.select(&[1, 0]), Err(Error::Tensor { .. })));
    }
}
