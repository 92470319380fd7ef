//! One run of a quantizer: what is left of the last one, the slabs, the check of the whole.
use std::ops::ControlFlow;
use std::path::Path;

use super::journal::{Done, Job, Journal};
use super::partial::Partial;
use super::slab::{Scratch, Slab, Squares};
use super::{Quantizer, crew, fingerprint};
use crate::gguf::{self, Layout};
use crate::recipe::{Plan, Planned};
use crate::{Error, Progress, Result, TensorSource};

/// A tensor whose measured error is this share of its size is no better than zeros.
const NO_BETTER_THAN_ZEROS: f64 = 1.0;

/// Everything that does not change while a run goes on.
pub(super) struct Run<'a> {
    pub(super) source: &'a dyn TensorSource,
    pub(super) plan: &'a Plan,
    /// The importance of each tensor's columns.
    pub(super) columns: &'a [Option<Vec<f32>>],
    pub(super) slabs: &'a [Slab],
    pub(super) layout: &'a Layout,
}

/// What a run has done.
#[derive(Debug)]
pub(super) struct Written {
    /// What was measured of each tensor.
    pub(super) squares: Vec<Squares>,
    /// Bytes of the source that an earlier run had done.
    pub(super) resumed_bytes: u64,
}

impl Run<'_> {
    /// Writes the file at `target`.
    pub(super) fn write(
        &self,
        target: &Path,
        options: &Quantizer<'_>,
        mut on_progress: impl FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Written> {
        let job = self.job()?;
        let partial = Partial::open(target, self.layout.file_bytes, options.resumable)?;
        let mut done = self.done_before(&partial, &job, options.threads)?;
        let mut journal = Journal::create(partial.journal_path(), &job)?;
        done.iter().flatten().try_for_each(|done| journal.add(done))?;
        partial.write(0, &self.layout.header)?;

        let waiting: Vec<usize> = (0..self.slabs.len()).filter(|slab| done[*slab].is_none()).collect();
        let total_bytes = self.slabs.iter().map(|slab| self.bytes(slab)).sum();
        let resumed_bytes: u64 =
            total_bytes - waiting.iter().map(|&slab| self.bytes(&self.slabs[slab])).sum::<u64>();
        let mut done_bytes = resumed_bytes;
        let convert = |slab: &usize, scratch: &mut Scratch| self.convert(*slab, &partial, scratch);
        crew::run(options.threads, &waiting, convert, |_, slab| {
            journal.add(&slab)?;
            done[slab.slab] = Some(slab);
            done_bytes += self.bytes(&self.slabs[slab.slab]);
            let tensor = &self.planned(&self.slabs[slab.slab]).tensor.name;
            match on_progress(Progress { done_bytes, total_bytes, tensor }) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(Error::Stopped { what: "quantizing" }),
            }
        })?;
        let squares = self.squares(&done);
        self.check(&partial, &squares)?;
        partial.commit()?;
        Ok(Written { squares, resumed_bytes })
    }

    /// A hash of all that decides what is written: the source, the header, the importance, the slabs.
    fn job(&self) -> Result<Job> {
        let mut hash = blake3::Hasher::new();
        hash.update(&fingerprint(self.source)?);
        hash.update(&self.layout.header);
        for column in self.columns.iter().flatten().flatten() {
            hash.update(&column.to_le_bytes());
        }
        for slab in self.slabs {
            hash.update(&(slab.rows as u64).to_le_bytes());
        }
        Ok(hash.finalize().into())
    }

    /// The slabs that an earlier run has written and that are really in the file.
    fn done_before(&self, partial: &Partial, job: &Job, threads: usize) -> Result<Vec<Option<Done>>> {
        let mut told = Journal::read(&partial.journal_path(), job);
        told.retain(|done| done.slab < self.slabs.len());
        let mut done = vec![None; self.slabs.len()];
        let same = |told: &Done, scratch: &mut Scratch| {
            let slab = &self.slabs[told.slab];
            scratch.written.resize(slab.rows * self.planned(slab).row_bytes(), 0);
            partial.read(self.offset(slab), &mut scratch.written)?;
            Ok(super::hash(&scratch.written) == told.hash)
        };
        crew::run(threads, &told, same, |index, same| {
            let told = told[index];
            done[told.slab] = same.then_some(told);
            Ok(())
        })?;
        Ok(done)
    }

    /// Converts a slab, writes it, and reads it back.
    fn convert(&self, index: usize, partial: &Partial, scratch: &mut Scratch) -> Result<Done> {
        let slab = &self.slabs[index];
        let planned = self.planned(slab);
        let columns = self.columns[slab.tensor].as_deref();
        let squares = slab.convert(self.source, planned, columns, scratch)?;
        partial.write(self.offset(slab), &scratch.output)?;
        scratch.written.resize(scratch.output.len(), 0);
        partial.read(self.offset(slab), &mut scratch.written)?;
        if scratch.written != scratch.output {
            return Err(unfaithful(planned, "came back changed from", partial));
        }
        Ok(Done { slab: index, hash: super::hash(&scratch.output), squares })
    }

    /// What was measured of each tensor, summed in the order of its slabs.
    fn squares(&self, done: &[Option<Done>]) -> Vec<Squares> {
        let mut squares = vec![Squares::default(); self.plan.tensors().len()];
        for done in done.iter().flatten() {
            squares[self.slabs[done.slab].tensor].add(done.squares);
        }
        squares
    }

    /// That the complete file has the tensors it should have, and that none has been lost on the way.
    fn check(&self, partial: &Partial, squares: &[Squares]) -> Result<()> {
        let file = gguf::File::open(partial.path())?;
        let tensors = self.plan.tensors().iter().zip(&self.layout.tensors).zip(file.tensors()).zip(squares);
        for (((planned, placed), found), squares) in tensors {
            if placed != found {
                return Err(unfaithful(planned, "is not where it should be in", partial));
            }
            if squares.size > 0.0 && squares.error > NO_BETTER_THAN_ZEROS * squares.size {
                return Err(unfaithful(planned, "would be no better than zeros in", partial));
            }
        }
        Ok(())
    }

    fn planned(&self, slab: &Slab) -> &Planned {
        &self.plan.tensors()[slab.tensor]
    }

    /// Where the converted slab lies in the file.
    fn offset(&self, slab: &Slab) -> u64 {
        let within = slab.first as u64 * self.planned(slab).row_bytes() as u64;
        self.layout.data_offset + self.layout.tensors[slab.tensor].offset + within
    }

    /// Bytes of the slab in the source.
    fn bytes(&self, slab: &Slab) -> u64 {
        slab.rows as u64 * self.planned(slab).tensor.row_bytes() as u64
    }
}

fn unfaithful(planned: &Planned, problem: &'static str, partial: &Partial) -> Error {
    Error::Unfaithful { name: planned.tensor.name.clone(), problem, path: partial.path().to_owned() }
}
