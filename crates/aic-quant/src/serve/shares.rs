/// Divides `budget` tokens among sequences that want so many each: nobody gets more than another who wants as much, nobody more
/// than it wants, and nothing is left while somebody wants (max-min fairness; Bertsekas and Gallager, Data Networks, 6.5.2).
///
/// Everybody gets something if `budget` is at least their number.
pub(super) fn shares(budget: usize, wanted: &[usize]) -> Vec<usize> {
    let mut modest_first: Vec<usize> = (0..wanted.len()).collect();
    modest_first.sort_by_key(|index| wanted[*index]);
    let mut shares = vec![0; wanted.len()];
    let mut left = budget;
    for (served, index) in modest_first.into_iter().enumerate() {
        shares[index] = wanted[index].min(left / (wanted.len() - served));
        left -= shares[index];
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_prompts_are_served_whole_and_long_ones_share_the_rest() {
        assert_eq!(shares(100, &[1000, 10, 1000]), [45, 10, 45]);
        assert_eq!(shares(100, &[1000]), [100]);
        assert_eq!(shares(100, &[20, 30]), [20, 30]);
        assert!(shares(100, &[]).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_wasted_and_nobody_is_left_out(
            budget in 0_usize..200,
            wanted in prop::collection::vec(1_usize..100, 0..20),
        ) {
            let shares = shares(budget, &wanted);

            prop_assert_eq!(shares.iter().sum::<usize>(), budget.min(wanted.iter().sum()));
            for (share, wanted) in shares.iter().zip(&wanted) {
                prop_assert!(share <= wanted);
                prop_assert!(*share >= (budget / shares.len()).min(*wanted));
            }
        }
    }
}
