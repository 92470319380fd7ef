use super::super::layout::{Group, ROWS};

/// Sixteen lanes of 32 bits, one for each row of a panel, in the vectors of an instruction set.
///
/// A value of such a type is the proof that the processor has the instructions.
pub(crate) trait Lanes: Copy {
    /// Vector registers of the processor, over the number that make up sixteen lanes.
    const REGISTERS: usize;

    /// Whether sums of products have 16 bits, which hold no more than a [run](super::slices::run) of groups.
    const NARROW: bool;

    /// Sums of products.
    type Sums: Copy;
    /// Steps, and sums times steps: whole numbers below 2²⁴ in whatever form suits.
    type Whole: Copy;
    /// Four bytes, or a whole number, in each lane.
    type Codes: Copy;
    /// A number in each lane.
    type Floats: Copy;

    /// Calls `work`, which is compiled with the instructions.
    fn call<T>(self, work: impl FnOnce() -> T) -> T;

    /// Asks for the memory at `address`, which need not be there.
    fn prefetch(self, address: *const u8);

    fn load(self, group: &Group) -> Self::Codes;
    /// The same in every lane.
    fn splat(self, lane: u32) -> Self::Codes;
    fn and(self, a: Self::Codes, b: Self::Codes) -> Self::Codes;
    fn xor(self, a: Self::Codes, b: Self::Codes) -> Self::Codes;
    fn or(self, a: Self::Codes, b: Self::Codes) -> Self::Codes;
    /// Each lane shifted to the left, to the right if `by` is negative.
    fn shift(self, codes: Self::Codes, by: i32) -> Self::Codes;
    /// Bytes of `table` at the places that the bytes of `places` name, all below 16.
    fn look_up(self, table: &[u8; 16], places: Self::Codes) -> Self::Codes;

    /// Codes that are `offset` too large as [`dot`](Self::dot) takes them: from zero up, or less an offset of 128 where it wants
    /// numbers with a sign.
    fn with_offset(self, offset: i32, codes: Self::Codes) -> Self::Codes;
    /// What sums of products begin with so that the codes count as `offset` less: minus `offset` times the sums of the input's
    /// codes, those of the first two and the last two of four neighbours.
    fn begin(self, offset: i32, pair: [i16; 2]) -> Self::Sums;
    /// In each lane, `sums` and the products of four codes of weights with four of the input, which have a sign.
    fn dot(self, offset: i32, sums: Self::Sums, weights: Self::Codes, input: Self::Codes) -> Self::Sums;
    fn steps(self, steps: &[u8; ROWS]) -> Self::Whole;
    fn signed_steps(self, steps: &[i8; ROWS]) -> Self::Whole;
    /// `whole` and the sums of a run, each times the step of its part.
    fn widen(self, whole: Option<Self::Whole>, sums: Self::Sums, steps: Self::Whole) -> Self::Whole;
    fn whole_floats(self, whole: Self::Whole) -> Self::Floats;

    /// Bits as the floating-point numbers that they are.
    fn reinterpret(self, bits: Self::Codes) -> Self::Floats;
    fn load_floats(self, numbers: &[f32; ROWS]) -> Self::Floats;
    /// 16-bit floats.
    fn halves(self, bits: &[u16; ROWS]) -> Self::Floats;
    fn bytes(self, numbers: &[u8; ROWS]) -> Self::Floats;
    fn zero(self) -> Self::Floats;
    fn splat_float(self, number: f32) -> Self::Floats;
    /// `a × b + c`, rounded once.
    fn multiply_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    fn numbers(self, floats: Self::Floats) -> [f32; ROWS];
}

/// Two numbers in a lane, the first in the lower half.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn pair([first, second]: [i16; 2]) -> u32 {
    u32::from(first as u16) | u32::from(second as u16) << 16
}
