use crate::{Error, Result};

/// One of the vectors nearest to a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its position among the vectors searched.
    pub index: usize,
    /// The dot product with the query; the cosine if both have length 1, from −1 to 1.
    pub similarity: f32,
}

/// Finds the `count` vectors nearest to `query`, nearest first, by looking at every one.
///
/// Exact, in time proportional to the number of vectors. Equally near ones come in the order given; a vector
/// with a similarity of NaN is left out. Fewer come back if there are fewer.
///
/// # Errors
/// [`Error::Dimensions`] if a vector is not as long as the query.
pub fn nearest<'a>(
    query: &[f32],
    vectors: impl IntoIterator<Item = &'a [f32]>,
    count: usize,
) -> Result<Vec<Neighbour>> {
    let mut found: Vec<Neighbour> = Vec::with_capacity(count.min(1024) + 1);
    for (index, vector) in vectors.into_iter().enumerate() {
        let similarity = dot(query, vector)?;
        let at = found.partition_point(|other| other.similarity >= similarity);
        if at < count && !similarity.is_nan() {
            found.insert(at, Neighbour { index, similarity });
            found.truncate(count);
        }
    }
    Ok(found)
}

fn dot(query: &[f32], vector: &[f32]) -> Result<f32> {
    if query.len() != vector.len() {
        return Err(Error::Dimensions { query: query.len(), vector: vector.len() });
    }
    Ok(query.iter().zip(vector).map(|(a, b)| a * b).sum())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn result_is_the_head_of_the_sorted_list(
            vectors in prop::collection::vec(prop::collection::vec(-3i8..=3, 4), 0..30),
            query in prop::collection::vec(-3i8..=3, 4),
            count in 0usize..8,
        ) {
            let float = |v: &Vec<i8>| v.iter().map(|&x| f32::from(x)).collect::<Vec<_>>();
            let (query, vectors) = (float(&query), vectors.iter().map(float).collect::<Vec<_>>());
            let mut sorted: Vec<_> = vectors.iter().map(|v| dot(&query, v).unwrap()).enumerate().collect();
            sorted.sort_by(|a, b| b.1.total_cmp(&a.1));

            let found = nearest(&query, vectors.iter().map(Vec::as_slice), count).unwrap();

            let found: Vec<_> = found.iter().map(|n| (n.index, n.similarity)).collect();
            prop_assert_eq!(found, &sorted[..count.min(sorted.len())]);
        }
    }

    #[test]
    fn vector_of_another_length_is_refused_with_both_lengths() {
        let error = nearest(&[1.0, 0.0], [[1.0].as_slice()], 1).unwrap_err();

        assert_eq!(error.to_string(), "a query of 2 dimensions cannot be compared with a vector of 1");
    }

    #[test]
    fn not_a_number_is_near_nothing() {
        let vectors = [[f32::NAN].as_slice(), &[1.0]];

        assert_eq!(nearest(&[1.0], vectors, 2).unwrap(), [Neighbour { index: 1, similarity: 1.0 }]);
    }
}
