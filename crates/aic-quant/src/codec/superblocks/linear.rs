//! Sub-blocks with a scale of either sign: a number is `scale × code`.
use half::f16;
use pulp::Simd;

use super::group::Group;
use super::lanes::{LANES, Lanes};
use super::{half_above, half_nearest};

/// How many groups of eight sub-blocks a super-block has.
const GROUPS: usize = 2;

/// What a type leaves room for, and how long to look.
pub(super) struct Linear {
    /// Codes run from minus this to one less.
    pub codes: f32,
    /// Whole numbers that stand for the scale of a sub-block run from minus this to one less.
    pub steps: f32,
    /// 1, and -1 where codes are so few that the one more on the negative side is worth a try on either side.
    pub signs: &'static [f32],
    /// Guesses at the super-block's scale: the largest sub-block has the number `steps + slack`, without its sign.
    pub slacks: &'static [f32],
    /// How long to look if all numbers matter alike.
    pub plain: Effort,
    /// How long to look if few numbers decide, which makes the error a rougher function of the scale.
    pub weighted: Effort,
}

/// How long to look.
pub(super) struct Effort {
    /// First guesses: the code of the number that is largest in size, without its sign.
    pub peaks: &'static [f32],
    /// How many steps to either side of the best guess to try.
    pub reach: i32,
    /// How often to do that again, one step to either side, after fitting the super-block's scale to the codes.
    pub rounds: usize,
}

/// What a super-block stores, before it is packed.
pub(super) struct Block {
    pub scale: f16,
    pub scales: [i8; 16],
    /// From 0 up.
    pub codes: [u8; 256],
}

/// Finds what a super-block of 16 sub-blocks stores.
#[inline(always)]
pub(super) fn encode<S: Simd>(
    simd: S,
    values: &[f32; 256],
    weights: Option<&[f32; 256]>,
    limits: &Linear,
) -> Block {
    let groups = [Group::new(simd, 0, values, weights), Group::new(simd, 1, values, weights)];
    let effort = if weights.is_some() { &limits.weighted } else { &limits.plain };
    let fitted = fit(simd, &groups, limits, effort);
    let mut block = Block { scale: fitted.scale, scales: [0; 16], codes: [0; 256] };
    for g in 0..GROUPS {
        block.scales[g * LANES..][..LANES]
            .copy_from_slice(&fitted.scales[g].to_bytes().map(|byte| byte as i8));
        let inverse = (fitted.scales[g] * fitted.scale.to_f32()).inverse();
        for i in 0..16 {
            let codes = (code(groups[g].values[i], inverse, limits) + limits.codes).to_bytes();
            for lane in 0..LANES {
                block.codes[(g * LANES + lane) * 16 + i] = codes[lane];
            }
        }
    }
    block
}

/// Everything that a super-block stores but the codes, which are the nearest.
#[derive(Clone, Copy)]
struct Fitted<S: Simd> {
    scale: f16,
    /// Whole numbers.
    scales: [Lanes<S>; GROUPS],
    /// The sum of weighted squares.
    error: f32,
}

impl<S: Simd> Fitted<S> {
    /// Takes the best whole numbers around the ideals, each tried with the codes it would get.
    #[inline(always)]
    fn move_near(
        &mut self,
        groups: &[Group<S, 16>; GROUPS],
        ideals: &[Ideal<S>; GROUPS],
        limits: &Linear,
        reach: i32,
    ) {
        let zero = self.scales[0] * 0.0;
        let scale = zero + self.scale.to_f32();
        let inverse = scale.inverse();
        let mut error = zero;
        for g in 0..GROUPS {
            let mut least = zero + f32::MAX;
            let near = steps(ideals[g].scale * inverse, limits);
            for step in -reach..=reach {
                let scales = steps(near + step as f32, limits);
                let error = error_of(&groups[g], scales * scale, limits);
                self.scales[g] = error.less(least, scales, self.scales[g]);
                least = error.min(least);
            }
            error = error + least;
        }
        self.error = error.sum();
    }

    /// Fits the super-block's scale to the codes and whole numbers it has, by least squares, and finds these codes' ideals.
    #[inline(always)]
    fn refit(&mut self, groups: &[Group<S, 16>; GROUPS], ideals: &mut [Ideal<S>; GROUPS], limits: &Linear) {
        let zero = self.scales[0] * 0.0;
        let (mut aa, mut ar) = (0.0, 0.0);
        for g in 0..GROUPS {
            let a = self.scales[g];
            let scale = a * self.scale.to_f32();
            let inverse = scale.inverse();
            let (mut rest_code, mut code_code) = (zero, zero);
            for i in 0..16 {
                let code = code(groups[g].values[i], inverse, limits);
                let weighted = groups[g].weights[i] * code;
                rest_code = rest_code + weighted * (groups[g].values[i] - scale * code);
                code_code = code_code + weighted * code;
            }
            ideals[g] = Ideal { scale: scale + rest_code * code_code.inverse(), code_code };
            aa += (a * a * code_code).sum();
            ar += (a * rest_code).sum();
        }
        if aa > 0.0 {
            self.scale = half_nearest(self.scale.to_f32() + ar / aa);
        }
    }
}

/// The scale of eight sub-blocks that has the least error with the codes held, and the weighted sum of the codes' squares:
/// times the square of the distance from the scale, what another scale adds to the error.
#[derive(Clone, Copy)]
struct Ideal<S: Simd> {
    scale: Lanes<S>,
    code_code: Lanes<S>,
}

#[inline(always)]
fn code<S: Simd>(value: Lanes<S>, inverse: Lanes<S>, limits: &Linear) -> Lanes<S> {
    (value * inverse).clamp(-limits.codes, limits.codes - 1.0).round()
}

#[inline(always)]
fn fit<S: Simd>(simd: S, groups: &[Group<S, 16>; GROUPS], limits: &Linear, effort: &Effort) -> Fitted<S> {
    let zero = Lanes::splat(simd, 0.0);
    let mut ideals = [Ideal { scale: zero, code_code: zero }; GROUPS];
    for g in 0..GROUPS {
        ideals[g] = search(&groups[g], limits, effort);
    }
    let scale = first_scale(simd, &ideals, limits);
    let mut next = Fitted { scale, scales: [zero; GROUPS], error: f32::MAX };
    let mut best = next;
    for round in 0..=effort.rounds {
        let reach = if round == 0 { effort.reach } else { 1 };
        next.move_near(groups, &ideals, limits, reach);
        if next.error < best.error {
            best = next;
        }
        if round < effort.rounds {
            next.refit(groups, &mut ideals, limits);
        }
    }
    best
}

/// The best of the first guesses.
#[inline(always)]
fn search<S: Simd>(group: &Group<S, 16>, limits: &Linear, effort: &Effort) -> Ideal<S> {
    let (lowest, highest) = (group.lowest(), group.highest());
    let inverse = highest.less(-lowest, lowest, highest).inverse();
    let zero = inverse * 0.0;
    let mut best = Ideal { scale: zero, code_code: zero };
    let mut most = zero;
    for peak in effort.peaks {
        for sign in limits.signs {
            let inverse = inverse * (-peak * sign);
            let (mut value_code, mut code_code) = (zero, zero);
            for i in 0..16 {
                let code = code(group.values[i], inverse, limits);
                let weighted = group.weights[i] * code;
                value_code = value_code + weighted * group.values[i];
                code_code = code_code + weighted * code;
            }
            let scale = value_code * code_code.inverse();
            let gain = value_code * scale;
            best.scale = most.less(gain, scale, best.scale);
            best.code_code = most.less(gain, code_code, best.code_code);
            most = most.max(gain);
        }
    }
    best
}

/// The super-block's scale under which whole numbers come closest to the ideals, among the first guesses.
#[inline(always)]
fn first_scale<S: Simd>(simd: S, ideals: &[Ideal<S>; GROUPS], limits: &Linear) -> f16 {
    let mut peak = 0.0_f32;
    for ideal in ideals {
        for scale in ideal.scale.to_array() {
            peak = if scale.abs() > peak.abs() { scale } else { peak };
        }
    }
    let mut best = (f32::INFINITY, f16::ZERO);
    for slack in limits.slacks {
        let scale = half_above(-peak / (limits.steps + slack));
        let excess = least_excess(simd, ideals, scale, limits);
        if excess < best.0 {
            best = (excess, scale);
        }
    }
    best.1
}

/// What whole numbers for scales add to the error.
#[inline(always)]
fn least_excess<S: Simd>(simd: S, ideals: &[Ideal<S>; GROUPS], scale: f16, limits: &Linear) -> f32 {
    let scale = Lanes::splat(simd, scale.to_f32());
    let inverse = scale.inverse();
    let mut sum = Lanes::splat(simd, 0.0);
    for ideal in ideals {
        let distance = steps(ideal.scale * inverse, limits) * scale - ideal.scale;
        sum = sum + ideal.code_code * distance * distance;
    }
    sum.sum()
}

#[inline(always)]
fn steps<S: Simd>(exact: Lanes<S>, limits: &Linear) -> Lanes<S> {
    exact.clamp(-limits.steps, limits.steps - 1.0).round()
}

/// The sum of weighted squares under the nearest codes.
#[inline(always)]
fn error_of<S: Simd>(group: &Group<S, 16>, scale: Lanes<S>, limits: &Linear) -> Lanes<S> {
    let inverse = scale.inverse();
    let mut sum = scale * 0.0;
    for i in 0..16 {
        let rest = group.values[i] - scale * code(group.values[i], inverse, limits);
        sum = sum + group.weights[i] * rest * rest;
    }
    sum
}
