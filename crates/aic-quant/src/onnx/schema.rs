//! A look at a file's bytes before they are decoded: every field must be one that `proto.rs` declares, because others would
//! be lost on the way to the output, and messages must be few and shallow enough to be decoded at all.
use Kind::*;

/// Messages in one model. Each takes a few hundred bytes of memory and as few as two of the file.
const MESSAGE_LIMIT: usize = 1 << 22;
/// Messages within messages; what prost follows.
const DEPTH_LIMIT: usize = 100;

/// The message a stretch of bytes is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Value,
    Type,
    TensorType,
    ElementType,
    MapType,
    Shape,
    Dimension,
    Function,
    Training,
    Annotation,
    NodeDevice,
    Sharding,
    ShardedDim,
    /// A message of two numbers or texts.
    Pair,
    /// A message of three numbers or texts.
    Triple,
    /// Not a message: a number, a text, bytes.
    Leaf,
}

/// What is wrong, and at which byte.
pub(super) type Problem = (u64, String);

/// Checks the bytes of a whole model.
pub(super) fn check(bytes: &[u8]) -> Result<(), Problem> {
    Walk { bytes, messages: 0 }.message(0, bytes.len(), Model, 0)
}

/// What the field `tag` of a message holds; `None` if there is no such field.
fn field(kind: Kind, tag: u64) -> Option<Kind> {
    Some(match (kind, tag) {
        (Model, 7) => Graph,
        (Model, 8 | 14) => Pair,
        (Model, 20) => Training,
        (Model, 25) => Function,
        (Model, 26) => Triple,
        (Model, 1..=6) => Leaf,
        (Graph, 1) => Node,
        (Graph, 5) => Tensor,
        (Graph, 11..=13) => Value,
        (Graph, 14) => Annotation,
        (Graph, 15) => Sparse,
        (Graph, 16) => Pair,
        (Graph, 2 | 10) => Leaf,
        (Node, 5) => Attribute,
        (Node, 9) => Pair,
        (Node, 10) => NodeDevice,
        (Node, 1..=8) => Leaf,
        (Attribute, 5 | 10) => Tensor,
        (Attribute, 6 | 11) => Graph,
        (Attribute, 14 | 15) => Type,
        (Attribute, 22 | 23) => Sparse,
        (Attribute, 1..=4 | 7..=9 | 13 | 20 | 21) => Leaf,
        (Tensor, 3 | 13 | 16) => Pair,
        (Tensor, 1..=12 | 14) => Leaf,
        (Sparse, 1 | 2) => Tensor,
        (Sparse, 3) => Leaf,
        (Value, 2) => Type,
        (Value, 4) => Pair,
        (Value, 1 | 3) => Leaf,
        (Type, 1 | 8) => TensorType,
        (Type, 4 | 9) => ElementType,
        (Type, 5) => MapType,
        (Type, 7) => Pair,
        (Type, 6) => Leaf,
        (TensorType, 2) => Shape,
        (TensorType, 1) => Leaf,
        (ElementType, 1) => Type,
        (MapType, 2) => Type,
        (MapType, 1) => Leaf,
        (Shape, 1) => Dimension,
        (Dimension, 1..=3) => Leaf,
        (Function, 7) => Node,
        (Function, 9 | 14) => Pair,
        (Function, 11) => Attribute,
        (Function, 12) => Value,
        (Function, 1 | 4..=6 | 8 | 10 | 13) => Leaf,
        (Training, 1 | 2) => Graph,
        (Training, 3 | 4) => Pair,
        (Annotation, 2) => Pair,
        (Annotation, 1) => Leaf,
        (NodeDevice, 2) => Sharding,
        (NodeDevice, 1 | 3) => Leaf,
        (Sharding, 3) => Pair,
        (Sharding, 4) => ShardedDim,
        (Sharding, 1 | 2) => Leaf,
        (ShardedDim, 2) => Triple,
        (ShardedDim, 1) => Leaf,
        (Pair, 1 | 2) => Leaf,
        (Triple, 1..=3) => Leaf,
        _ => return None,
    })
}

struct Walk<'a> {
    bytes: &'a [u8],
    messages: usize,
}

impl Walk<'_> {
    fn message(&mut self, mut at: usize, end: usize, kind: Kind, depth: usize) -> Result<(), Problem> {
        self.messages += 1;
        if self.messages > MESSAGE_LIMIT || depth > DEPTH_LIMIT {
            let limits = format!("more than {MESSAGE_LIMIT} messages, or {DEPTH_LIMIT} within one another");
            return Err((at as u64, limits));
        }
        while at < end {
            at = self.field(at, end, kind, depth)?;
        }
        Ok(())
    }

    /// Checks the field at `at` and returns where the next one starts.
    fn field(&mut self, at: usize, end: usize, kind: Kind, depth: usize) -> Result<usize, Problem> {
        let (key, start) = self.varint(at, end)?;
        let (tag, wire) = (key >> 3, key & 7);
        let unknown =
            || (at as u64, format!("a {kind:?} message has the field {tag}, which ONNX 1.23 does not know"));
        let child = field(kind, tag).ok_or_else(unknown)?;
        let (length, start) = match wire {
            0 => (0, self.varint(start, end)?.1),
            1 => (8, start),
            2 => self.varint(start, end)?,
            5 => (4, start),
            _ => return Err((at as u64, format!("field {tag} has wire type {wire}, expected 0, 1, 2 or 5"))),
        };
        let left = (end - start) as u64;
        if length > left {
            return Err((at as u64, format!("field {tag} has {length} bytes, but {left} are left")));
        }
        let next = start + length as usize;
        if wire == 2 && child != Leaf {
            self.message(start, next, child, depth + 1)?;
        }
        Ok(next)
    }

    /// The number at `at` and where it ends.
    fn varint(&self, at: usize, end: usize) -> Result<(u64, usize), Problem> {
        let mut number = 0;
        for (index, byte) in self.bytes[at..end].iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok((number, at + index + 1));
            }
        }
        Err((at as u64, "a number does not end".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_that_a_newer_onnx_might_add_is_named_and_placed() {
        // ir_version 8, then a graph whose field 99 is 1.
        let (offset, problem) = check(&[0x08, 8, 0x3a, 3, 0x98, 0x06, 1]).unwrap_err();

        assert_eq!(offset, 4);
        assert!(problem.contains("Graph") && problem.contains("99"), "{problem}");
    }

    #[test]
    fn bytes_that_are_no_message_are_problems() {
        for bytes in [&b"GGUF"[..], b"not a model", &[0xff; 12], &[0x3a, 0x7f], &[0x0b], &[0x80]] {
            assert!(check(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn more_messages_than_a_model_has_are_refused_before_they_are_decoded() {
        let nodes = [0x0a, 0].repeat(MESSAGE_LIMIT);
        let mut model = vec![0x3a];
        prost::encoding::encode_varint(nodes.len() as u64, &mut model);
        model.extend(nodes);

        assert!(check(&model).is_err());
    }
}
