use std::fmt;

use super::{Accounts, Totals};

/// The most lines of one part of the table.
const LINES_MAX: usize = 20;

/// A table by provider, model, task and (where any has a name) tenant, the dearest first, with shares of the
/// cost. At most twenty lines each; the data has them all.
impl fmt::Display for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        if total.calls == 0 {
            return f.write_str("no calls");
        }
        let width = self.width();
        write!(
            f,
            "{:<width$} {:>8} {:>12} {:>12} {:>12} {:>14} {:>6}",
            "", "calls", "input", "cached", "output", "cost", "share"
        )?;
        part(
            f,
            width,
            &total,
            "provider",
            self.by_provider().iter().map(|(name, t)| (name.to_string(), *t)),
        )?;
        part(f, width, &total, "model", self.by_model().iter().map(|((p, m), t)| (format!("{p}/{m}"), *t)))?;
        part(f, width, &total, "task", self.by_task().iter().map(|(task, t)| (task.to_string(), *t)))?;
        if !self.tenants.is_empty() {
            let tenants = self.by_tenant();
            let named = tenants.iter().map(|(name, t)| (name.unwrap_or("(none)").to_owned(), *t));
            part(f, width, &total, "tenant", named)?;
        }
        line(f, width, &total, "total", &total)
    }
}

impl Accounts {
    fn width(&self) -> usize {
        let models =
            self.rows().map(|(provider, model, ..)| provider.chars().count() + 1 + model.chars().count());
        let tenants = self.tenants.keys().map(|tenant| tenant.chars().count());
        models.chain(tenants).max().unwrap_or(0).clamp(14, 44) + 2
    }
}

fn part(
    f: &mut fmt::Formatter<'_>,
    width: usize,
    total: &Totals,
    title: &str,
    rows: impl ExactSizeIterator<Item = (String, Totals)>,
) -> fmt::Result {
    let hidden = rows.len().saturating_sub(LINES_MAX);
    write!(f, "\nby {title}")?;
    for (name, totals) in rows.take(LINES_MAX) {
        line(f, width, total, &format!("  {name}"), &totals)?;
    }
    if hidden > 0 {
        write!(f, "\n  and {hidden} more")?;
    }
    Ok(())
}

fn line(f: &mut fmt::Formatter<'_>, width: usize, total: &Totals, name: &str, sums: &Totals) -> fmt::Result {
    let Totals { calls, input, cached_input, output, cost, .. } = sums;
    write!(f, "\n{name:<width$} {calls:>8} {input:>12} {cached_input:>12} {output:>12} {cost:>14} ")?;
    match total.cost.0 {
        0 => write!(f, "{:>6}", "-")?,
        all => write!(f, "{:>5.1}%", cost.0 as f64 / all as f64 * 100.0)?,
    }
    let notes = [
        (sums.unpriced > 0).then(|| format!("{} of unknown cost", sums.unpriced)),
        (sums.estimated_cost.0 > 0).then(|| format!("{} of it estimated", sums.estimated_cost)),
    ];
    notes.into_iter().flatten().try_for_each(|note| write!(f, "  {note}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::booking;
    use super::*;
    use crate::{Booking, Task};

    #[test]
    fn table_has_every_part_with_shares_and_what_is_not_known() {
        let mut accounts = Accounts::default();
        accounts.book(&booking("gpt-5.5", Some("kitchen"), Some(30_000_000)));
        accounts.book(&Booking { estimated: true, ..booking("gpt-5.4-mini", None, Some(10_000_000)) });
        accounts.book(&Booking { task: Task::Summary, ..booking("gpt-5.5", None, None) });

        let shown = accounts.to_string();

        let expected = "
                         calls        input       cached       output           cost  share
by provider
  openai                     3          300          120           30          $0.04 100.0%  1 of unknown cost  $0.01 of it estimated
by model
  openai/gpt-5.5             2          200           80           20          $0.03  75.0%  1 of unknown cost
  openai/gpt-5.4-mini        1          100           40           10          $0.01  25.0%  $0.01 of it estimated
by task
  code                       2          200           80           20          $0.04 100.0%  $0.01 of it estimated
  summary                    1          100           40           10             $0   0.0%  1 of unknown cost
by tenant
  kitchen                    1          100           40           10          $0.03  75.0%
  (none)                     2          200           80           20          $0.01  25.0%  1 of unknown cost  $0.01 of it estimated
total                        3          300          120           30          $0.04 100.0%  1 of unknown cost  $0.01 of it estimated";
        assert_eq!(shown.trim_start(), expected.trim_start());
        assert_eq!(Accounts::default().to_string(), "no calls");
    }

    #[test]
    fn long_parts_are_cut_and_say_so() {
        let mut accounts = Accounts::default();
        for number in 0..25 {
            accounts.book(&booking("m", Some(&format!("tenant {number}")), Some(1)));
        }

        assert!(accounts.to_string().contains("\n  and 5 more\ntotal"));
    }
}
