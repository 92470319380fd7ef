/// Rows in a block. A block of 384 numbers a row is 393 KB: little enough that growing one is not felt.
const BLOCK: usize = 256;

/// Rows of equal width that never move once their block is full.
///
/// One `Vec` would copy everything when it grows, 150 MB for 100,000 vectors, while searches wait.
#[derive(Debug)]
pub(super) struct Rows<T> {
    width: usize,
    blocks: Vec<Vec<T>>,
}

impl<T: Copy> Rows<T> {
    pub(super) fn new(width: usize) -> Self {
        Self { width, blocks: Vec::new() }
    }

    pub(super) fn push(&mut self, row: &[T]) {
        debug_assert_eq!(row.len(), self.width);
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK * self.width) {
            self.blocks.push(Vec::new());
        }
        self.blocks.last_mut().expect("a block with room was just seen to").extend_from_slice(row);
    }

    pub(super) fn row(&self, index: u32) -> &[T] {
        let (block, start) = self.place(index);
        &self.blocks[block][start..start + self.width]
    }

    pub(super) fn row_mut(&mut self, index: u32) -> &mut [T] {
        let (block, start) = self.place(index);
        &mut self.blocks[block][start..start + self.width]
    }

    fn place(&self, index: u32) -> (usize, usize) {
        (index as usize / BLOCK, index as usize % BLOCK * self.width)
    }
}
