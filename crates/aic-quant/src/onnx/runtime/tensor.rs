/// A named array of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The name of the model's input or output.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The numbers, row by row.
    pub values: Values,
}

impl Tensor {
    /// A tensor for the input called `name`.
    pub fn new(name: impl Into<String>, shape: &[usize], values: impl Into<Values>) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), values: values.into() }
    }
}

/// Declares [`Values`] and what is the same for each type of number.
macro_rules! values {
    ($($(#[$doc:meta])+ $variant:ident($number:ty),)+) => {
        /// The numbers of a [`Tensor`].
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Values {
            $($(#[$doc])+ $variant(Vec<$number>),)+
        }

        impl Values {
            /// How many there are.
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$variant(values) => values.len(),)+
                }
            }

            /// The same rows of `width` numbers in another order; each of `rows` must be one of them.
            pub(in crate::onnx) fn rows(&self, width: usize, rows: &[usize]) -> Self {
                match self {
                    $(Self::$variant(values) => {
                        Self::$variant(rows.iter().flat_map(|row| &values[row * width..][..width]).copied().collect())
                    })+
                }
            }
        }

        $(impl From<Vec<$number>> for Values {
            fn from(values: Vec<$number>) -> Self {
                Self::$variant(values)
            }
        })+
    };
}

values! {
    /// 32-bit floats; also given to inputs of half floats, and got from outputs of such.
    F32(f32),
    /// 64-bit integers: token ids, masks. The embedded runtime wants them within 32 bits.
    I64(i64),
    /// 32-bit integers; what the embedded runtime gives for all integers of 32 bits and more, and for truth values.
    I32(i32),
    /// Bytes: pixels.
    U8(u8),
    /// Truth values.
    Bool(bool),
}

impl Values {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The floats; `None` if they are something else.
    pub fn floats(&self) -> Option<&[f32]> {
        match self {
            Self::F32(values) => Some(values),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_the_order_asked_for_and_more_than_once() {
        let values = Values::from(vec![1_i64, 2, 3, 4, 5, 6]);
        assert_eq!(values.rows(2, &[2, 0, 0]), Values::I64(vec![5, 6, 1, 2, 1, 2]));
        assert_eq!(values.rows(3, &[]), Values::I64(vec![]));
    }
}
