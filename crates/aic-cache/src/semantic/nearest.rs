use crate::{Error, Fingerprint, Result};

/// One of the vectors nearest to a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour<I = Fingerprint> {
    /// What the vector was given under.
    pub id: I,
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
pub fn nearest<'a, I>(
    query: &[f32],
    vectors: impl IntoIterator<Item = (I, &'a [f32])>,
    count: usize,
) -> Result<Vec<Neighbour<I>>> {
    let mut found: Vec<Neighbour<I>> = Vec::with_capacity(count.min(1024) + 1);
    for (id, vector) in vectors {
        let similarity = dot(query, vector)?;
        let full = found.len() == count;
        if similarity.is_nan() || full && found.last().is_none_or(|last| similarity <= last.similarity) {
            continue;
        }
        let at = found.partition_point(|other| other.similarity >= similarity);
        found.insert(at, Neighbour { id, similarity });
        found.truncate(count);
    }
    Ok(found)
}

/// `vector` scaled to length 1, or `None` if it has no direction: it is zero, infinite or not a number.
pub(super) fn unit(vector: &[f32]) -> Option<Vec<f32>> {
    let length = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let unit = || vector.iter().map(|&x| (f64::from(x) / length) as f32).collect();
    (length > 0.0 && length.is_finite()).then(unit)
}

fn dot(query: &[f32], vector: &[f32]) -> Result<f32> {
    if query.len() != vector.len() {
        return Err(Error::Dimensions { query: query.len(), vector: vector.len() });
    }
    Ok(sum_of_products(query, vector))
}

/// Sixteen sums side by side: with one, each addition would wait for the one before, and rounding forbids the
/// compiler to add in another order than written.
fn sum_of_products(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; 16];
    for (a, b) in a.zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    proptest! {
        #[test]
        fn result_is_the_head_of_the_sorted_list(
            vectors in prop::collection::vec(prop::collection::vec(-3i8..=3, 20), 0..30),
            query in prop::collection::vec(-3i8..=3, 20),
            count in 0usize..8,
        ) {
            let float = |v: &Vec<i8>| v.iter().map(|&x| f32::from(x)).collect::<Vec<_>>();
            let (query, vectors) = (float(&query), vectors.iter().map(float).collect::<Vec<_>>());
            let mut sorted: Vec<_> = vectors.iter().map(|v| plain(&query, v)).enumerate().collect();
            sorted.sort_by(|a, b| b.1.total_cmp(&a.1));

            let found = nearest(&query, vectors.iter().map(Vec::as_slice).enumerate(), count).unwrap();

            let found: Vec<_> = found.iter().map(|n| (n.id, n.similarity)).collect();
            prop_assert_eq!(found, &sorted[..count.min(sorted.len())]);
        }
    }

    #[test]
    fn vector_of_another_length_is_refused_with_both_lengths() {
        let error = nearest(&[1.0, 0.0], [((), [1.0].as_slice())], 1).unwrap_err();

        assert_eq!(error.to_string(), "a query of 2 dimensions cannot be compared with a vector of 1");
    }

    #[test]
    fn not_a_number_is_near_nothing() {
        let vectors = [("nan", [f32::NAN].as_slice()), ("one", &[1.0])];

        assert_eq!(nearest(&[1.0], vectors, 2).unwrap(), [Neighbour { id: "one", similarity: 1.0 }]);
    }
}
