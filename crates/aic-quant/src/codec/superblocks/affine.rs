//! Sub-blocks with a scale and a minimum: a number is `scale × code − minimum`.
use half::f16;
use pulp::Simd;

use super::group::Group;
use super::lanes::{LANES, Lanes};
use super::{half_above, half_nearest};

/// What a type leaves room for, and how long to look.
pub(super) struct Affine {
    /// Largest code.
    pub codes: f32,
    /// Largest whole number that stands for the scale or the minimum of a sub-block.
    pub steps: f32,
    /// Guesses at the super-block's scales: the largest sub-block has the number `steps + slack`.
    pub slacks: &'static [f32],
    /// How long to look if all numbers matter alike.
    pub plain: Effort,
    /// How long to look if few numbers decide, which makes the error a rougher function of scale and minimum.
    pub weighted: Effort,
}

/// How long to look.
pub(super) struct Effort {
    /// First guesses: how much of a sub-block's range to cut off below and above, as parts of it.
    pub trims: &'static [(f32, f32)],
    /// How many steps to either side of the best guess to try, for scales and for minima.
    pub reach: (i32, i32),
    /// How often to do that again, one step to either side, after fitting the super-block's scales to the codes.
    pub rounds: usize,
}

/// What a super-block stores, before it is packed.
pub(super) struct Block<const COUNT: usize> {
    pub scale: f16,
    pub minimum: f16,
    pub scales: [u8; COUNT],
    pub minima: [u8; COUNT],
    pub codes: [u8; 256],
}

/// Finds what a super-block of `COUNT = GROUPS × 8` sub-blocks stores.
///
/// Scales and minima of sub-blocks have no sign, so a line starts at or below zero. Where most sub-blocks lie above zero, the
/// mirrored numbers are encoded, and the super-block's two scales change their signs.
#[inline(always)]
pub(super) fn encode<S: Simd, const LENGTH: usize, const GROUPS: usize, const COUNT: usize>(
    simd: S,
    values: &[f32; 256],
    weights: Option<&[f32; 256]>,
    limits: &Affine,
) -> Block<COUNT> {
    let mut groups = [Group::<S, LENGTH>::new(simd, 0, values, weights); GROUPS];
    for g in 1..GROUPS {
        groups[g] = Group::new(simd, g, values, weights);
    }
    let mirrored = mostly_above(&groups);
    if mirrored {
        mirror(&mut groups);
    }
    let effort = if weights.is_some() { &limits.weighted } else { &limits.plain };
    let fitted = fit(simd, &groups, limits, effort);
    let mut block = Block {
        scale: if mirrored { -fitted.scale } else { fitted.scale },
        minimum: if mirrored { -fitted.minimum } else { fitted.minimum },
        scales: [0; COUNT],
        minima: [0; COUNT],
        codes: [0; 256],
    };
    for g in 0..GROUPS {
        block.scales[g * LANES..][..LANES].copy_from_slice(&fitted.scales[g].to_bytes());
        block.minima[g * LANES..][..LANES].copy_from_slice(&fitted.minima[g].to_bytes());
        put_codes(&groups[g], &fitted, g, limits, &mut block.codes);
    }
    block
}

/// Whether more sub-blocks lie wholly above zero than wholly below.
#[inline(always)]
fn mostly_above<S: Simd, const LENGTH: usize, const GROUPS: usize>(
    groups: &[Group<S, LENGTH>; GROUPS],
) -> bool {
    let mut balance = 0;
    for group in groups {
        let (lowest, highest) = (group.lowest().to_array(), group.highest().to_array());
        for lane in 0..LANES {
            balance += i32::from(lowest[lane] > 0.0) - i32::from(highest[lane] < 0.0);
        }
    }
    balance > 0
}

#[inline(always)]
fn mirror<S: Simd, const LENGTH: usize, const GROUPS: usize>(groups: &mut [Group<S, LENGTH>; GROUPS]) {
    for group in groups {
        for value in &mut group.values {
            *value = -*value;
        }
    }
}

/// The nearest codes of eight sub-blocks, in their order.
#[inline(always)]
fn put_codes<S: Simd, const LENGTH: usize, const GROUPS: usize>(
    group: &Group<S, LENGTH>,
    fitted: &Fitted<S, GROUPS>,
    g: usize,
    limits: &Affine,
    out: &mut [u8; 256],
) {
    let line = fitted.line(g);
    let inverse = line.scale.inverse();
    for i in 0..LENGTH {
        let codes = line.code(group.values[i], inverse, limits).to_bytes();
        for lane in 0..LANES {
            out[(g * LANES + lane) * LENGTH + i] = codes[lane];
        }
    }
}

/// Everything that a super-block stores but the codes, which are the nearest.
#[derive(Clone, Copy)]
struct Fitted<S: Simd, const GROUPS: usize> {
    scale: f16,
    minimum: f16,
    /// Whole numbers.
    scales: [Lanes<S>; GROUPS],
    /// Whole numbers.
    minima: [Lanes<S>; GROUPS],
    /// The sum of weighted squares.
    error: f32,
}

impl<S: Simd, const GROUPS: usize> Fitted<S, GROUPS> {
    #[inline(always)]
    fn line(&self, g: usize) -> Line<S> {
        Line { scale: self.scales[g] * self.scale.to_f32(), minimum: self.minima[g] * self.minimum.to_f32() }
    }

    /// Takes the best whole numbers around the ideals, each pair tried with the codes it would get.
    #[inline(always)]
    fn move_near<const LENGTH: usize>(
        &mut self,
        groups: &[Group<S, LENGTH>; GROUPS],
        ideals: &[Ideal<S>; GROUPS],
        limits: &Affine,
        reach: (i32, i32),
    ) {
        let zero = self.scales[0] * 0.0;
        let (scale, minimum) = (zero + self.scale.to_f32(), zero + self.minimum.to_f32());
        let (inverse_scale, inverse_minimum) = (scale.inverse(), minimum.inverse());
        let mut error = zero;
        for g in 0..GROUPS {
            let mut least = zero + f32::MAX;
            let near = (ideals[g].line.scale * inverse_scale).clamp(0.0, limits.steps).round();
            for step in -reach.0..=reach.0 {
                let scales = (near + step as f32).clamp(0.0, limits.steps);
                let scale = scales * scale;
                let wanted = ideals[g].minimum_for(scale) * inverse_minimum;
                let near = wanted.clamp(0.0, limits.steps).round();
                for step in -reach.1..=reach.1 {
                    let minima = (near + step as f32).clamp(0.0, limits.steps);
                    let error = Line { scale, minimum: minima * minimum }.error(&groups[g], limits);
                    self.scales[g] = error.less(least, scales, self.scales[g]);
                    self.minima[g] = error.less(least, minima, self.minima[g]);
                    least = error.min(least);
                }
            }
            error = error + least;
        }
        self.error = error.sum();
    }

    /// Fits the super-block's scales to the codes and whole numbers it has, by least squares, and finds these codes' ideals.
    #[inline(always)]
    fn refit<const LENGTH: usize>(
        &mut self,
        groups: &[Group<S, LENGTH>; GROUPS],
        ideals: &mut [Ideal<S>; GROUPS],
        limits: &Affine,
    ) {
        let (mut aa, mut am, mut mm, mut ar, mut mr) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for g in 0..GROUPS {
            let (a, m, line) = (self.scales[g], self.minima[g], self.line(g));
            let sums = Sums::of(&groups[g], line, limits);
            ideals[g] = Ideal::of(line, &sums);
            aa += (a * a * sums.code_code).sum();
            am += (a * m * sums.code).sum();
            mm += (m * m * sums.one).sum();
            ar += (a * sums.rest_code).sum();
            mr += (m * sums.rest).sum();
        }
        let determinant = aa * mm - am * am;
        if determinant > 0.0 {
            let scale = self.scale.to_f32() + (mm * ar - am * mr) / determinant;
            let minimum = self.minimum.to_f32() + (am * ar - aa * mr) / determinant;
            (self.scale, self.minimum) = (half_nearest(scale.max(0.0)), half_nearest(minimum.max(0.0)));
        }
    }
}

/// A scale and a minimum for each of eight sub-blocks.
#[derive(Clone, Copy)]
struct Line<S: Simd> {
    scale: Lanes<S>,
    minimum: Lanes<S>,
}

impl<S: Simd> Line<S> {
    #[inline(always)]
    fn code(&self, value: Lanes<S>, inverse: Lanes<S>, limits: &Affine) -> Lanes<S> {
        ((value + self.minimum) * inverse).clamp(0.0, limits.codes).round()
    }

    /// The sum of weighted squares under the nearest codes.
    #[inline(always)]
    fn error<const LENGTH: usize>(&self, group: &Group<S, LENGTH>, limits: &Affine) -> Lanes<S> {
        let inverse = self.scale.inverse();
        let mut sum = self.scale * 0.0;
        for i in 0..LENGTH {
            let code = self.code(group.values[i], inverse, limits);
            let rest = group.values[i] + self.minimum - self.scale * code;
            sum = sum + group.weights[i] * rest * rest;
        }
        sum
    }
}

/// Weighted sums over eight sub-blocks: of 1, of codes and their squares, of rests, their products with codes, their squares.
///
/// Rests are what rounding leaves over: a small error is no difference of large sums.
#[derive(Clone, Copy)]
struct Sums<S: Simd> {
    one: Lanes<S>,
    code: Lanes<S>,
    code_code: Lanes<S>,
    rest: Lanes<S>,
    rest_code: Lanes<S>,
    rest_rest: Lanes<S>,
}

impl<S: Simd> Sums<S> {
    #[inline(always)]
    fn of<const LENGTH: usize>(group: &Group<S, LENGTH>, line: Line<S>, limits: &Affine) -> Self {
        let inverse = line.scale.inverse();
        let zero = line.scale * 0.0;
        let mut sums =
            Self { one: zero, code: zero, code_code: zero, rest: zero, rest_code: zero, rest_rest: zero };
        for i in 0..LENGTH {
            let weight = group.weights[i];
            let code = line.code(group.values[i], inverse, limits);
            let rest = group.values[i] + line.minimum - line.scale * code;
            sums.one = sums.one + weight;
            sums.code = sums.code + weight * code;
            sums.code_code = sums.code_code + weight * code * code;
            sums.rest = sums.rest + weight * rest;
            sums.rest_code = sums.rest_code + weight * rest * code;
            sums.rest_rest = sums.rest_rest + weight * rest * rest;
        }
        sums
    }
}

/// The line through eight sub-blocks' codes that has the least error, and how the error grows around it.
///
/// With the codes held, the error of a line is `error + code_code·a² − 2·code·a·m + one·m²`, where `a` and `m` are its
/// distances from the ideal scale and minimum.
#[derive(Clone, Copy)]
struct Ideal<S: Simd> {
    line: Line<S>,
    error: Lanes<S>,
    one: Lanes<S>,
    code: Lanes<S>,
    code_code: Lanes<S>,
}

impl<S: Simd> Ideal<S> {
    /// Worse than any.
    #[inline(always)]
    fn none(zero: Lanes<S>) -> Self {
        let line = Line { scale: zero, minimum: zero };
        Self { line, error: zero + f32::INFINITY, one: zero, code: zero, code_code: zero }
    }

    /// The least-squares line for the codes that are nearest under `line`; its minimum is not below zero.
    #[inline(always)]
    fn of(line: Line<S>, sums: &Sums<S>) -> Self {
        let Sums { one, code, code_code, rest, rest_code, rest_rest } = *sums;
        let determinant = (one * code_code - code * code).inverse();
        let sink = (rest_code * code - rest * code_code) * determinant;
        let minimum = line.minimum + sink;
        let zero = minimum * 0.0;
        let sink = minimum.less(zero, -line.minimum, sink);
        let free = (one * rest_code - code * rest) * determinant;
        let through_zero = (rest_code - line.minimum * code) * code_code.inverse();
        let tilt = minimum.less(zero, through_zero, free);
        let error = rest_rest - (tilt * rest_code - sink * rest) * 2.0
            + (tilt * tilt * code_code - tilt * sink * code * 2.0 + sink * sink * one);
        let line = Line { scale: line.scale + tilt, minimum: (line.minimum + sink).max(zero) };
        Self { line, error: line.scale.less(zero, zero + f32::MAX, error), one, code, code_code }
    }

    /// The better of two, sub-block by sub-block.
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self {
            line: Line {
                scale: other.error.less(self.error, other.line.scale, self.line.scale),
                minimum: other.error.less(self.error, other.line.minimum, self.line.minimum),
            },
            error: other.error.min(self.error),
            one: other.one,
            code: other.error.less(self.error, other.code, self.code),
            code_code: other.error.less(self.error, other.code_code, self.code_code),
        }
    }

    /// The best of the first guesses.
    #[inline(always)]
    fn search<const LENGTH: usize>(group: &Group<S, LENGTH>, limits: &Affine, effort: &Effort) -> Self {
        let lowest = group.lowest().min(group.values[0] * 0.0);
        let range = group.highest() - lowest;
        let zero = lowest * 0.0;
        let mut best = Self::none(zero);
        for &(below, above) in effort.trims {
            let scale = range * ((1.0 - below - above) / limits.codes);
            let line = Line { scale, minimum: -(lowest + range * below).min(zero) };
            best = best.or(Self::of(line, &Sums::of(group, line, limits)));
        }
        best
    }

    /// The minimum that is best with another scale than the ideal one.
    #[inline(always)]
    fn minimum_for(&self, scale: Lanes<S>) -> Lanes<S> {
        self.line.minimum + self.code * self.one.inverse() * (scale - self.line.scale)
    }

    /// What `line` adds to the error.
    #[inline(always)]
    fn excess(&self, line: Line<S>) -> Lanes<S> {
        let (a, m) = (line.scale - self.line.scale, line.minimum - self.line.minimum);
        self.code_code * a * a - self.code * a * m * 2.0 + self.one * m * m
    }
}

#[inline(always)]
fn fit<S: Simd, const LENGTH: usize, const GROUPS: usize>(
    simd: S,
    groups: &[Group<S, LENGTH>; GROUPS],
    limits: &Affine,
    effort: &Effort,
) -> Fitted<S, GROUPS> {
    let zero = Lanes::splat(simd, 0.0);
    let mut ideals = [Ideal::none(zero); GROUPS];
    for g in 0..GROUPS {
        ideals[g] = Ideal::search(&groups[g], limits, effort);
    }
    let (scale, minimum) = first_scales(simd, &ideals, limits);
    let mut next = Fitted { scale, minimum, scales: [zero; GROUPS], minima: [zero; GROUPS], error: f32::MAX };
    let mut best = next;
    for round in 0..=effort.rounds {
        let reach = if round == 0 { effort.reach } else { (1, 1) };
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

/// The super-block's scales under which whole numbers come closest to the ideals, among the first guesses.
#[inline(always)]
fn first_scales<S: Simd, const GROUPS: usize>(
    simd: S,
    ideals: &[Ideal<S>; GROUPS],
    limits: &Affine,
) -> (f16, f16) {
    let (mut largest_scale, mut largest_minimum) = (0.0, 0.0);
    for ideal in ideals {
        let (scales, minima) = (ideal.line.scale.to_array(), ideal.line.minimum.to_array());
        for lane in 0..LANES {
            largest_scale = if scales[lane] > largest_scale { scales[lane] } else { largest_scale };
            largest_minimum = if minima[lane] > largest_minimum { minima[lane] } else { largest_minimum };
        }
    }
    let mut best = (half_above(largest_scale / limits.steps), half_above(largest_minimum / limits.steps));
    let mut least = f32::INFINITY;
    for guess in 0..2 * limits.slacks.len() {
        let (scale, minimum) = best;
        let room = limits.steps + limits.slacks[guess / 2];
        let other = match guess % 2 {
            0 => (half_above(largest_scale / room), minimum),
            _ => (scale, half_above(largest_minimum / room)),
        };
        let excess = least_excess(simd, ideals, other.0, other.1, limits);
        if excess < least {
            (least, best) = (excess, other);
        }
    }
    best
}

/// What whole numbers for scales and minima add to the error.
#[inline(always)]
fn least_excess<S: Simd, const GROUPS: usize>(
    simd: S,
    ideals: &[Ideal<S>; GROUPS],
    scale: f16,
    minimum: f16,
    limits: &Affine,
) -> f32 {
    let (scale, minimum) = (Lanes::splat(simd, scale.to_f32()), Lanes::splat(simd, minimum.to_f32()));
    let (inverse_scale, inverse_minimum) = (scale.inverse(), minimum.inverse());
    let mut sum = Lanes::splat(simd, 0.0);
    for ideal in ideals {
        let below = (ideal.line.scale * inverse_scale + -0.5).round();
        let mut least = Lanes::splat(simd, f32::MAX);
        for step in [0.0, 1.0] {
            let scale = (below + step).clamp(0.0, limits.steps) * scale;
            let wanted = ideal.minimum_for(scale) * inverse_minimum;
            let minimum = wanted.clamp(0.0, limits.steps).round() * minimum;
            least = least.min(ideal.excess(Line { scale, minimum }));
        }
        sum = sum + least;
    }
    sum.sum()
}
