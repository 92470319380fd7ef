//! What is tuned: the product of two matrices, block by block.
use std::{hint::black_box, ops::Range, time::Instant};

use aic::tuner::{Configuration, Result};

/// The best of five products, in milliseconds.
pub(crate) fn measure(size: usize, setting: &Configuration) -> Result<f64> {
    let (order, block, depth) = (setting.choice("order")?, setting.int("block")?, setting.int("depth")?);
    let (a, b) = (vec![1.5_f32; size * size], vec![0.5_f32; size * size]);
    let time = || {
        let began = Instant::now();
        black_box(product(black_box(&a), black_box(&b), size, order, [block, depth].map(|n| n as usize)));
        began.elapsed().as_secs_f64() * 1e3
    };
    Ok((0..5).map(|_| time()).fold(f64::INFINITY, f64::min))
}

/// `a` times `b`: blocks of rows, columns and inner indices, and within a block three loops in an order.
fn product(a: &[f32], b: &[f32], size: usize, order: &str, [block, depth]: [usize; 2]) -> Vec<f32> {
    let mut c = vec![0.0; size * size];
    for rows in blocks(size, block) {
        for inner in blocks(size, depth) {
            for columns in blocks(size, block) {
                let mut add =
                    |i: usize, j: usize, k: usize| c[i * size + j] += a[i * size + k] * b[k * size + j];
                match order {
                    "ijk" => nest(&rows, &columns, &inner, &mut add),
                    "ikj" => nest(&rows, &inner, &columns, |i, k, j| add(i, j, k)),
                    _ => nest(&inner, &rows, &columns, |k, i, j| add(i, j, k)),
                }
            }
        }
    }
    c
}

fn blocks(size: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..size).step_by(step).map(move |from| from..size.min(from + step))
}

fn nest(a: &Range<usize>, b: &Range<usize>, c: &Range<usize>, mut body: impl FnMut(usize, usize, usize)) {
    for x in a.clone() {
        for y in b.clone() {
            c.clone().for_each(|z| body(x, y, z));
        }
    }
}
