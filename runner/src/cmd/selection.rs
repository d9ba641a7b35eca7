//! Which trials a command is about: the flags that `parity run` and `parity bench` have in common. It runs
//! nothing.

use clap::Args;

use crate::suite::{Filter, Trial};

/// Flags that select trials.
#[derive(Debug, Args)]
pub struct SelectionArgs {
    /// Only trials whose id contains one of these
    filters: Vec<String>,
    /// Compare filters with whole ids
    #[arg(long)]
    exact: bool,
    /// Leave out trials whose id contains this
    #[arg(long, value_name = "FILTER")]
    skip: Vec<String>,
    /// Of the selected trials every Nth, beginning with the Mth: what one of N machines runs
    #[arg(long, value_name = "M/N", value_parser = shard)]
    shard: Option<Shard>,
    /// Also trials above the tier of BITNET_TIER
    #[arg(long)]
    pub(super) include_ignored: bool,
    /// List the selected trials and do nothing else
    #[arg(long)]
    pub(super) list: bool,
}

impl SelectionArgs {
    /// The selected ones of `trials`, in their order.
    pub(super) fn of<'a>(&self, trials: impl Iterator<Item = &'a Trial>) -> Vec<&'a Trial> {
        let filter =
            Filter { wanted: self.filters.clone(), skipped: self.skip.clone(), exact: self.exact };
        let selected = trials.filter(|trial| filter.selects(&trial.id));
        let Shard { index, count } = self.shard.unwrap_or(Shard { index: 0, count: 1 });
        selected.skip(index).step_by(count).collect()
    }

    /// What was asked for, for a complaint that there is no such trial.
    pub(super) fn words(&self) -> String {
        let shard =
            self.shard.map(|Shard { index, count }| format!(" in shard {}/{count}", index + 1));
        format!("{:?}{}", self.filters, shard.unwrap_or_default())
    }
}

/// A part of a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard {
    /// From 0.
    index: usize,
    count: usize,
}

fn shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/').and_then(|(m, n)| Some((m.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((number @ 1.., count)) if number <= count => Ok(Shard { index: number - 1, count }),
        _ => Err("M/N with M from 1 to N, such as 1/2".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_one_of_several() {
        assert_eq!(shard("1/1"), Ok(Shard { index: 0, count: 1 }));
        assert_eq!(shard("3/4"), Ok(Shard { index: 2, count: 4 }));
        for bad in ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/2/3"] {
            assert_eq!(shard(bad), Err("M/N with M from 1 to N, such as 1/2".to_owned()), "{bad}");
        }
    }
}
